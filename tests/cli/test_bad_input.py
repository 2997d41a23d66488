"""Bad input of every kind: one clear error, no traceback, nothing left behind."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program

pytestmark = pytest.mark.root

# The command line, and words of the error that must be there.
CASES = [
    # capabilities
    (["--cap-add", "NET_ADMINN", "true"], ["NET_ADMINN", "NET_ADMIN"]),
    (["--cap-add", "64", "true"], ["64"]),
    (["--cap-add", "CAP_", "true"], ["CAP_"]),
    (["--cap-add", "", "true"], ["--cap-add"]),
    (["--cap-add", "A\nB", "true"], ["A\\nB"]),
    (["--cap-add", "ALL,ALL", "true"], ["ALL"]),
    (["--cap-add", "ALL", "--cap-drop", "ALL", "true"], ["ALL"]),
    (["--cap-add", "KILL", "--cap-drop", "KILL", "true"], ["KILL"]),
    # profiles
    (["--profile", "minmal", "true"], ["minmal", "minimal"]),
    (["--profile", "./missing.yaml", "true"], ["missing.yaml"]),
    (["--profile", "./empty.yaml", "true"], ["empty.yaml"]),
    (["--profile", "./huge.yaml", "true"], ["huge.yaml"]),
    (["--profile", "./broken.yaml", "true"], ["broken.yaml"]),
    (["--profile", "./unknown.yaml", "true"], ["unknown.yaml:2:1", "did you mean"]),
    (["--profile", "./loop.yaml", "true"], ["loop.yaml"]),
    (["--profile", "../../etc", "true"], ["../../etc"]),
    (["--privileged", "--profile", "minimal", "true"], ["--privileged", "minimal"]),
    # roots
    (["--rootfs", "missing", "true"], ["missing"]),
    (["--rootfs", "empty.yaml", "true"], ["empty.yaml"]),
    (["--rootfs", "to-root", "true"], ["to-root"]),
    (["--rootfs", "/", "true"], ["--rootfs"]),
    (["--rootfs", "", "true"], ["--rootfs"]),
    (["--rootfs", "x:readonly", "true"], ["'readonly'"]),
    # the program
    ([""], ["command"]),
    (["-w", "relative", "true"], ["-w", "absolute"]),
    (["-w", "/../..", "true"], ["-w"]),
    (["-u", "no-such-user", "true"], ["no-such-user"]),
    (["-u", "4294967295", "true"], ["4294967295"]),
    (["-u", "-1", "true"], ["-1"]),
    (["-u", "1:2:3", "true"], ["1:2:3"]),
    (["-e", "=x", "true"], ["-e"]),
    (["--env-file", "missing", "true"], ["missing"]),
    (["--env-file", "nul.env", "true"], ["NUL"]),
    (["--env-file", "huge.yaml", "true"], ["larger"]),
    # file systems
    (["-v", "/proc:/proc", "true"], ["/proc"]),
    (["-v", "/tmp:/proc/sys", "true"], ["/proc"]),
    (["-v", "/tmp:/", "true"], ["root"]),
    (["-v", "/tmp:relative", "true"], ["relative"]),
    (["-v", "/tmp:/x:readonly", "true"], ["readonly"]),
    (["-v", "name:/x", "true"], ["name"]),
    (["-v", "/tmp:/x", "-v", "/etc:/x", "true"], ["/x"]),
    (["--mount", "type=bind,source=/missing,target=/x", "true"], ["/missing"]),
    (["--tmpfs", "/x:size=lots", "true"], ["size=lots"]),
    (["--device", "/dev/missing", "true"], ["/dev/missing"]),
    (["--device", "/etc/passwd", "true"], ["/etc/passwd"]),
    # limits
    (["--memory", "-1", "true"], ["--memory -1", "negative"]),
    (["--memory", "1k", "true"], ["--memory"]),
    (["--memory", "99999999t", "true"], ["--memory"]),
    (["--cpus", "0", "true"], ["--cpus"]),
    (["--cpus", "-1", "true"], ["--cpus -1"]),
    (["--cpus", "100000", "true"], ["--cpus"]),
    (["--pids-limit", "0", "true"], ["--pids-limit 0"]),
    (["--pids-limit", "-2", "true"], ["--pids-limit -2"]),
    (["--shm-size", "0", "true"], ["--shm-size"]),
    (["--ulimit", "nofile=2:1", "true"], ["nofile=2:1"]),
    (["--ulimit", "nofile=5", "--ulimit", "nofile=6", "true"], ["twice"]),
    # isolation
    (["--network", "container:x", "true"], ["container:x"]),
    (["--network", "hots", "true"], ["hots", "did you mean host?"]),
    (["-p", "80:http", "true"], ["http"]),
    (["-p", "70000", "true"], ["70000"]),
    (["-p", "80:80", "-p", "80:81", "true"], ["twice"]),
    (["--network", "none", "-p", "8080:80", "true"], ["-p 8080:80", "private"]),
    (["--hostname", "a b", "true"], ["a b"]),
    (["--hostname", "x" * 65, "true"], ["64"]),
    (["--userns", "yes", "true"], ["yes"]),
    (["--userns", "0:0", "true"], ["0:0"]),
    (["--sysctl", "no.such.thing=1", "true"], ["no.such.thing"]),
    (["--sysctl", "../../etc/passwd=1", "true"], ["etc"]),
    (["--security-opt", "seccomp=missing.json", "true"], ["missing.json"]),
    (["--security-opt", "seccomp=broken.yaml", "true"], ["broken.yaml"]),
    (["--security-opt", "mask=/", "true"], ["mask=/"]),
    # names and places
    (["--name", "a/b", "true"], ["a/b"]),
    (["--name", "..", "true"], [".."]),
    (["--name", "", "true"], ["--name"]),
    (["--name", "a\nb", "true"], ["a\\nb"]),
    (["--name", "x" * 300, "true"], ["255"]),
    (["--root", "empty.yaml", "true"], ["empty.yaml"]),
    (["--root", "/proc/nestbox", "true"], ["/proc/nestbox"]),
    (["--provenance", "missing/log", "true"], ["missing/log"]),
    (["--provenance", ".", "true"], ["--provenance ."]),
    (["--provenance", "/dev/full", "true"], ["/dev/full"]),
]  # fmt: skip


def arrange(nestbox: Program) -> None:
    """Make the files that the cases name."""
    here = nestbox.directory
    (here / "empty.yaml").write_text("")
    (here / "huge.yaml").write_text("# much\n" * 400_000)
    (here / "broken.yaml").write_text("name: [\n")
    (here / "unknown.yaml").write_text("name: unknown\ncapabilites: {grant: ALL}\n")
    (here / "loop.yaml").write_text("name: loop\nextends: ./loop.yaml\n")
    (here / "nul.env").write_bytes(b"A=\0\n")
    (here / "to-root").symlink_to("/")


def assert_one_error(done: subprocess.CompletedProcess[str], words: list[str]) -> None:
    """Hold that standard error is one error in three parts, which says these words."""
    lines = done.stderr.splitlines()
    assert lines, "no error was printed"
    starts = [line[:11] for line in lines if not line.startswith(" " * 11)]
    assert [starts[0][:9], *starts[1:]] == ["nestbox: ", "  because: ", "  try:     "], done.stderr
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("arguments", "words"), CASES, ids=lambda value: repr(value)[:60])
def test_bad_input_of_run(nestbox: Program, arguments: list[str], words: list[str]) -> None:
    arrange(nestbox)
    before = sorted(nestbox.directory.iterdir())
    done = nestbox("run", *arguments)
    assert_one_error(done, words)
    assert done.returncode == 125
    assert nestbox.left_behind() == []
    assert sorted(nestbox.directory.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--environment", "missing", "true"], ["missing"]),
        (["--environment", "empty.yaml", "true"], ["JSON"]),
        (["--environment", "broken.yaml", "true"], ["JSON"]),
        (["--environment", ".", "true"], ["directory"]),
        (["--cap-add", "NET_ADMINN", "true"], ["NET_ADMIN"]),
        (["-o", "yaml", "true"], ["yaml"]),
    ],
)
def test_bad_input_of_plan(nestbox: Program, arguments: list[str], words: list[str]) -> None:
    arrange(nestbox)
    done = nestbox("plan", *arguments)
    assert_one_error(done, words)
    assert done.returncode == 125


def test_a_name_in_use_is_refused_and_its_owner_lives_on(nestbox: Program) -> None:
    with subprocess.Popen(
        [str(nestbox.command), "run", "-i", "--name", "box", "sh", "-c", "echo ready; read x"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=nestbox.environment,
        cwd=nestbox.directory,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        assert owner.stdin is not None
        assert owner.stdout.readline() == b"ready\n"
        second = nestbox("run", "--name", "box", "true")
        assert_one_error(second, ["box"])
        assert second.returncode == 125
        owner.stdin.write(b"\n")
        owner.stdin.close()
        assert owner.wait(30) == 0
    assert nestbox.left_behind() == []
