"""`kubectl exec -it` and `kubectl exec`, down to the runtime's terminal."""

from __future__ import annotations

import pytest

from integration.engines.cri_stream import Stream


@pytest.fixture
def stream(pod, containerd):
    """Return a function that runs a program in a container through the engine's stream server."""
    opened: list[Stream] = []
    container = pod.start()

    def call(*command: str, tty: bool) -> Stream:
        asked = {"tty": tty, "stdin": True, "stdout": True, "stderr": not tty}
        url = pod.cri("Exec", container_id=container, cmd=command, **asked).url
        opened.append(Stream(containerd.enclosure, url))
        return opened[-1]

    yield call
    for one in opened:
        one.close()


def test_a_terminal_is_a_real_one_and_takes_its_size(stream):
    person = stream("sh", tty=True)
    person.type("tty\n")
    person.read_until(r"\n/dev/pts/\d+\r")
    for rows, columns in ((33, 101), (40, 120)):
        person.resize(rows, columns)
        person.type(f"until stty size 2>&1 | grep '^{rows} {columns}'; do :; done\n")
        person.read_until(rf"\n{rows} {columns}\r")
    person.type("exit 5\n")
    status = person.end()
    assert status["status"] == "Failure"
    assert '"message": "5"' in str(status).replace("'", '"')


def test_without_a_terminal(stream):
    person = stream("sh", "-c", "read line; echo got $line", tty=False)
    person.type("typed\n")
    person.read_until("got typed\n")
    assert person.end()["status"] == "Success"
