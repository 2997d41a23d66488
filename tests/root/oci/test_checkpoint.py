"""Containers that are written to image files by CRIU and made again from them.

CRIU is `criu` in the path, or what NESTBOX_CRIU names; Debian 12's does not work on kernels of
today, so that most of these tests are left out where no newer one is installed.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.root.driver import SECONDS
from tests.root.oci.bundle import Bundle
from tests.root.oci.driver import Oci

CRIU = os.environ.get("NESTBOX_CRIU", "criu")
# It answers each line with the number of lines so far: what it knows has to be in its memory.
COUNTER = 'i=0; while read -r line; do i=$((i+1)); echo "$i $line"; done; exit 7'


@cache
def criu_works() -> bool:
    """Whether there is a CRIU that says of itself that it works on this kernel."""
    path = shutil.which(CRIU)
    if path is None:
        return False
    return subprocess.run([path, "check"], check=False, capture_output=True).returncode == 0


needs_criu = pytest.mark.skipif(
    not criu_works(), reason=f"`{CRIU} check` does not succeed: set NESTBOX_CRIU to a newer CRIU"
)


class Talk:
    """The pipes of a container, which a test talks through."""

    def __init__(self) -> None:
        self.stdin, self.input = os.pipe()
        self.output, self.stdout = os.pipe()

    @property
    def options(self) -> dict[str, int]:
        """Return what a command that leaves a container behind gets."""
        return {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stdout}

    def ask(self, line: str) -> str:
        """Say a line and return the answer."""
        os.write(self.input, f"{line}\n".encode())
        return self.hear()

    def hear(self) -> str:
        """Return what the container says next."""
        assert select.select([self.output], [], [], SECONDS)[0], "the container does not answer"
        return os.read(self.output, 4096).decode()

    def close(self) -> None:
        for fd in (self.stdin, self.input, self.output, self.stdout):
            os.close(fd)


@pytest.fixture(name="talks")
def _talks() -> Iterator[tuple[Talk, Talk]]:
    """Give pipes for a container before, and for it after its restore."""
    talks = Talk(), Talk()
    yield talks
    for talk in talks:
        talk.close()


@pytest.fixture(name="oci")
def _oci(oci: Oci) -> Oci:
    oci.flags = ("--criu", CRIU)
    return oci


def up(oci: Oci, bundle: Bundle, talk: Talk, *flags: str) -> str:
    """Run a container that answers over pipes."""
    bundle.shell(COUNTER)
    name = oci.new_id()
    run(oci, "run", bundle, talk, name, *flags)
    return name


def run(oci: Oci, command: str, bundle: Bundle, talk: Talk, name: str, *flags: str) -> None:
    """Run or restore a detached container with pipes as its streams."""
    words = oci.words(command, "--detach", "--bundle", str(bundle.write()), *flags, name)
    oci.directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(words, check=False, timeout=SECONDS, **talk.options)
    assert done.returncode == 0, oci.messages()


def images(oci: Oci) -> tuple[str, ...]:
    """Return the flags for directories of one test."""
    return "--image-path", str(oci.directory / "images"), "--work-path", str(oci.directory / "work")


def restore(oci: Oci, bundle: Bundle, talk: Talk, name: str, *flags: str) -> None:
    run(oci, "restore", bundle, talk, name, *images(oci), *flags)


@needs_criu
def test_a_restored_container_goes_on_where_it_was(oci, bundle, talks):
    before, after = talks
    bundle.linux["maskedPaths"] = ["/proc/acpi", "/proc/keys"]
    name = up(oci, bundle, before)
    assert before.ask("one") == "1 one\n"
    oci.ok("checkpoint", *images(oci), name)
    assert oci.status(name) == ""
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{name}"))
    restore(oci, bundle, after, name, "--pid-file", str(oci.directory / "pid"))
    assert after.ask("two") == "2 two\n"
    state = oci.state(name)
    assert state["status"] == "running"
    assert (oci.directory / "pid").read_text() == str(state["pid"])
    assert f"/{name}" in Path(f"/proc/{state['pid']}/cgroup").read_text()
    assert sorted(os.listdir(oci.root / name)) == [
        "config.json",
        "container.json",
        "lock",
        "process",
    ]
    oci.ok("kill", name, "KILL")
    oci.wait(name)
    assert oci.status(name) == "stopped"
    oci.ok("delete", name)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{name}"))


@needs_criu
def test_exec_enters_the_restored_container(oci, bundle, talks):
    before, after = talks
    name = up(oci, bundle, before)
    oci.ok("checkpoint", *images(oci), name)
    restore(oci, bundle, after, name)
    pid = oci.state(name)["pid"]
    kinds = ("ipc", "mnt", "net", "pid", "time", "uts")
    own = [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds]
    script = f"for kind in {' '.join(kinds)}; do readlink /proc/self/ns/$kind; done"
    assert oci.exec(name, "sh", "-c", script).stdout.split() == own


@needs_criu
def test_a_container_can_be_saved_again_and_again(oci, bundle, talks):
    before, after = talks
    bundle.linux["maskedPaths"] = ["/proc/acpi"]
    name = up(oci, bundle, before)
    for count in range(1, 4):
        talk = before if count == 1 else after
        assert talk.ask("x") == f"{count} x\n"
        oci.ok("checkpoint", *images(oci), name)
        restore(oci, bundle, after, name)
    assert after.ask("x") == "4 x\n"


@needs_criu
def test_leave_running_leaves_it_running(oci, bundle, talks):
    before, after = talks
    name = up(oci, bundle, before)
    assert before.ask("one") == "1 one\n"
    oci.ok("checkpoint", "--leave-running", *images(oci), name)
    assert oci.status(name) == "running"
    assert before.ask("two") == "2 two\n"
    oci.ok("delete", "--force", name)
    restore(oci, bundle, after, name)
    assert after.ask("two") == "2 two\n"


@needs_criu
def test_a_paused_container_can_be_saved(oci, bundle, talks):
    before, after = talks
    name = up(oci, bundle, before)
    assert before.ask("one") == "1 one\n"
    oci.ok("pause", name)
    oci.ok("checkpoint", *images(oci), name)
    restore(oci, bundle, after, name)
    assert after.ask("two") == "2 two\n"


@needs_criu
def test_a_restore_in_the_foreground_has_the_exit_status(oci, bundle, talks):
    before, after = talks
    name = up(oci, bundle, before)
    oci.ok("checkpoint", *images(oci), name)
    words = oci.words("restore", "--bundle", str(bundle.write()), *images(oci), name)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=after.stdout) as process:
        assert process.stdin is not None
        process.stdin.write(b"one\n")
        process.stdin.close()
        assert after.hear() == "1 one\n"
        assert process.wait(SECONDS) == 7
    assert oci.status(name) == ""


@needs_criu
def test_binds_come_back_from_where_they_are_now(oci, bundle, talks, tmp_path):
    before, after = talks
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    for directory in (outer, inner):
        directory.mkdir()
        (directory / "file").write_text(directory.name)
    (bundle.rootfs / "real").mkdir()
    (bundle.rootfs / "link").symlink_to("/real")
    bundle.config["mounts"] += [
        {"destination": "/link", "type": "bind", "source": str(outer), "options": ["rbind"]},
        {"destination": "/link/below", "source": str(inner), "options": ["bind"]},
    ]
    name = up(oci, bundle, before)
    oci.ok("checkpoint", *images(oci), name)
    # The mount point went, as on another machine.
    (outer / "below").rmdir()
    (outer / "file").write_text("changed")
    restore(oci, bundle, after, name)
    assert oci.exec(name, "cat", "/real/file", "/link/below/file").stdout == "changedinner"


@needs_criu
def test_a_network_namespace_from_outside_is_joined_again(oci, bundle, talks):
    before, after = talks
    namespace = f"nb{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        path = f"/run/netns/{namespace}"
        name = up(oci, bundle.namespaces(network=path), before)
        oci.ok("checkpoint", *images(oci), name)
        restore(oci, bundle, after, name)
        assert os.stat(f"/proc/{oci.state(name)['pid']}/ns/net").st_ino == os.stat(path).st_ino
        oci.ok("delete", "--force", name)
    finally:
        subprocess.run(["ip", "netns", "del", namespace], check=True)


@needs_criu
def test_hooks_of_the_runtime_see_the_restored_process(oci, bundle, talks, tmp_path):
    before, after = talks
    name = up(oci, bundle, before)
    oci.ok("checkpoint", *images(oci), name)
    script = f"cat > {tmp_path}/$0; readlink /proc/self/ns/mnt > {tmp_path}/$0.mnt"
    bundle.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", script, kind]}]
        for kind in ("prestart", "createRuntime")
    }
    restore(oci, bundle, after, name)
    pid = oci.state(name)["pid"]
    for kind, status in {"prestart": "created", "createRuntime": "creating"}.items():
        state = json.loads((tmp_path / kind).read_text())
        assert (state["id"], state["pid"], state["status"]) == (name, pid, status)
        assert (tmp_path / f"{kind}.mnt").read_text().strip() == os.readlink("/proc/self/ns/mnt")


@needs_criu
def test_a_hook_that_fails_stops_the_restore(oci, bundle, talks):
    before, _ = talks
    name = up(oci, bundle, before)
    oci.ok("checkpoint", *images(oci), name)
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    done = oci.call("restore", "--detach", "--bundle", str(bundle.write()), *images(oci), name)
    assert done.exit_code != 0
    assert any("error running createRuntime hook #0" in text for text in oci.messages("error"))
    assert oci.status(name) == ""
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{name}"))


@needs_criu
def test_a_terminal_comes_back_over_the_console_socket(oci, bundle, tmp_path):
    bundle.process["terminal"] = True
    bundle.shell(COUNTER)
    name = oci.new_id()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "console"))
        server.listen()
        console = "--console-socket", str(tmp_path / "console")
        oci.ok("run", "--detach", "--bundle", str(bundle.write()), *console, name)
        first = take_terminal(server)
        os.write(first, b"one\n")
        assert read_until(first, b"1 one\r\n")
        oci.ok("checkpoint", *images(oci), name)
        os.close(first)
        oci.ok(
            "restore", "--detach", "--bundle", str(bundle.directory), *images(oci), *console, name
        )
        second = take_terminal(server)
        os.write(second, b"two\n")
        assert read_until(second, b"2 two\r\n")
        os.close(second)


def take_terminal(server: socket.socket) -> int:
    connection, _ = server.accept()
    with connection:
        _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
    return fds[0]


def read_until(terminal: int, wanted: bytes) -> bool:
    text = b""
    while wanted not in text:
        assert select.select([terminal], [], [], SECONDS)[0], f"only {text!r} came"
        text += os.read(terminal, 4096)
    return True


@needs_criu
def test_a_restore_that_is_killed_leaves_what_delete_removes(oci, bundle, talks, tmp_path):
    before, _ = talks
    name = up(oci, bundle, before)
    oci.ok("checkpoint", *images(oci), name)
    for fifo in ("reached", "leave"):
        os.mkfifo(tmp_path / fifo)
    script = f"echo > {tmp_path}/reached; cat {tmp_path}/leave"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    words = oci.words("restore", "--detach", "--bundle", str(bundle.write()), *images(oci), name)
    with subprocess.Popen(words, start_new_session=True) as process:
        with open(tmp_path / "reached", "rb") as reached:
            reached.read()
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / "leave").write_text("")  # the hook goes on without us
    oci.ok("delete", "--force", name)
    assert not (oci.root / name).exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{name}"))


@needs_criu
def test_images_that_are_none_leave_nothing(oci, bundle):
    name = oci.new_id()
    (oci.directory / "images").mkdir(parents=True)
    done = oci.call("restore", "--detach", "--bundle", str(bundle.write()), *images(oci), name)
    assert done.exit_code != 0
    assert "descriptors.json" in " ".join(oci.messages("error"))
    assert not (oci.root / name).exists()


@needs_criu
def test_an_error_of_criu_is_quoted_and_the_container_goes_on(oci, bundle):
    # A file from outside as standard output is nothing that CRIU can find again.
    name = oci.up(bundle)
    done = oci.call("checkpoint", *images(oci), name)
    assert done.exit_code != 0
    assert any("Quoting" in text for text in oci.messages("warning"))
    assert any("criu failed: type DUMP" in text for text in oci.messages("error"))
    assert oci.status(name) == "running"


def test_without_criu_the_container_goes_on(oci, bundle):
    oci.flags = ("--criu", "/no/such/criu")
    name = oci.up(bundle)
    done = oci.call("checkpoint", *images(oci), name)
    assert done.exit_code != 0
    (message,) = oci.messages("error")
    assert "CRIU version check failed" in message
    assert "no such file or directory" in message
    assert oci.status(name) == "running"


def test_only_what_runs_can_be_saved(oci, bundle):
    name = oci.create(bundle)
    assert oci.call("checkpoint", *images(oci), name).exit_code != 0
    assert "Container cannot be checkpointed in created state" in oci.messages("error")[-1]
    assert oci.call("checkpoint", *images(oci), "nothing").exit_code != 0
    assert "does not exist" in oci.messages("error")[-1]


@pytest.mark.parametrize("parent", ["/absolute", "../nothing"])
def test_a_parent_that_is_none_is_refused(oci, bundle, parent):
    oci.flags = ()
    name = oci.up(bundle)
    done = oci.call("checkpoint", "--parent-path", parent, *images(oci), name)
    assert done.exit_code != 0
    assert "--parent-path" in " ".join(oci.messages("error"))
