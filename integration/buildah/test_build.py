"""buildah: it calls the runtime itself, without conmon, and asks `state` until the end."""

from __future__ import annotations

import pytest

from integration.engines import runtimes
from integration.engines.images import NAME
from integration.engines.terminal import Terminal

DOCKERFILE = f"""
FROM {NAME}
RUN echo "made by $(id -u)" >/made && mkdir /work && chown worker /work
USER worker
WORKDIR /work
RUN id -un >who && pwd >where
COPY given given
CMD ["sh", "-c", "cat /made who where given"]
"""


@pytest.fixture
def build(buildah, runtime, tmp_path):
    """Return a function that builds a Dockerfile."""
    (tmp_path / "given").write_text("given\n")

    def call(text, *flags, check=True):
        (tmp_path / "Dockerfile").write_text(text)
        words = ("build", runtime, "--tag=localhost/built:1", *flags, tmp_path)
        return buildah(*words, check=check)

    yield call
    buildah("rmi", "--force", "localhost/built:1", check=False)


def test_run_with_output_error_and_status(buildah, runtime, container):
    script = "echo out; echo err >&2; exit 7"
    done = buildah("run", runtime, container, "--", "sh", "-c", script, check=False)
    assert (done.status, done.out) == (7, "out\n")
    assert "err\n" in done.err


def test_a_program_that_is_not_there(buildah, runtime, container):
    done = buildah("run", runtime, container, "--", "nothing-here", check=False)
    assert done.status != 0
    assert "nothing-here" in done.err
    assert "not found" in done.err


@pytest.mark.parametrize(
    ("flags", "script", "answer"),
    [
        (["--user=worker"], "id -un", "worker\n"),
        (["--workingdir=/etc"], "pwd", "/etc\n"),
        (["--env=COLOUR=blue"], "echo $COLOUR", "blue\n"),
        (["--hostname=box"], "hostname", "box\n"),
        (["--cap-drop=CAP_CHOWN"], "chown worker /tmp 2>/dev/null || echo refused", "refused\n"),
        (["--network=none"], "ls /sys/class/net", "lo\n"),
    ],
)
def test_flags_of_run(buildah, runtime, container, flags, script, answer):
    assert buildah("run", runtime, *flags, container, "--", "sh", "-c", script).out == answer


def test_capabilities_of_run(buildah, runtime, container):
    words = (container, "--", "grep", "CapBnd", "/proc/self/status")
    plain = int(buildah("run", runtime, *words).words[1], 16)
    more = int(buildah("run", runtime, "--cap-add=CAP_NET_ADMIN", *words).words[1], 16)
    assert more == plain | 1 << 12 != plain


def test_a_mount_of_run(buildah, runtime, container, tmp_path):
    (tmp_path / "given").write_text("given\n")
    flag = f"--volume={tmp_path}:/in:ro"
    assert buildah("run", runtime, flag, container, "--", "cat", "/in/given").out == "given\n"


def test_run_on_a_terminal(podman_store, runtime, container):
    store = podman_store
    words = store.enclosure.enter("buildah", "run", runtime, "--tty", container, "--", "sh")
    person = Terminal(words, store.enclosure.environment(**store.variables))
    try:
        person.type("tty\n")
        person.read_until(r"\n/dev/pts/0\r")
        person.type("exit 5\n")
        assert person.end() == 5
    finally:
        person.close()


def test_what_a_run_wrote_is_committed(buildah, runtime, container, podman_store):
    buildah("run", runtime, container, "--", "sh", "-c", "echo new >/added")
    buildah("config", "--cmd=cat /added", container)
    buildah("commit", "--quiet", container, "localhost/committed:1")
    assert podman_store.run("localhost/committed:1").out == "new\n"
    buildah("rmi", "--force", "localhost/committed:1")


@pytest.mark.parametrize("flag", ["--layers=true", "--layers=false"])
def test_built_and_run(build, podman_store, flag):
    build(DOCKERFILE, flag)
    answer = "made by 0\nworker\n/work\ngiven\n"
    assert podman_store.run("localhost/built:1").out == answer


def test_a_failing_step_stops_the_build(build):
    done = build(f"FROM {NAME}\nRUN echo first\nRUN exit 42\n", check=False)
    assert done.status != 0
    assert "exit status 42" in done.err


def test_nothing_is_left_of_a_run(buildah, runtime, container, podman_store):
    buildah("run", runtime, container, "--", "true")
    root = f"/run/{podman_store.runtime.name}"
    find = f"find {root} -name @records -prune -o -name 'buildah-*' -print; ls /run/lock"
    assert podman_store.enclosure.run("sh", "-c", find, check=False).out == ""


def test_where_runc_fails_nestbox_starts_and_says_what_is_missing(buildah, container, podman_store):
    def run(name):
        runtime = f"--runtime={runtimes.find(name).path}"
        program = ("buildah", "run", runtime, container, "--", "echo", "started")
        drop = ("capsh", "--drop=cap_chown", "--", "-c", 'exec "$@"', "sh")
        variables = podman_store.variables
        return podman_store.enclosure.run(*drop, *program, check=False, **variables)

    peer = run("runc")
    assert peer.status != 0
    assert "unable to apply caps" in peer.err
    done = run("nestbox")
    assert (done.status, done.out) == (0, "started\n")
    assert "CAP_CHOWN" in done.err
