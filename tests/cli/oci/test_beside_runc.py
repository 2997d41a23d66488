"""The same command lines for runc and for us: exit code, first line of output, words of the error.

What differs on purpose is in docs/reference/runtime-cli.md, and not here.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

RUNC = shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")

pytestmark = pytest.mark.skipif(RUNC is None, reason="runc is not installed")

LINES = (
    "state", "state a b", "state nobody", "state nobody --nonsense", "state --nonsense nobody",
    "state nobody -h", "state ..", "state a/b", "-- state nobody", "state -- nobody",
    "start", "start nobody", "pause nobody", "resume nobody", "ps", "ps nobody -e -f",
    "ps -f json nobody", "kill", "kill nobody", "kill nobody 9", "kill nobody -9",
    "kill --all nobody KILL", "kill -a=true nobody", "kill -a=perhaps nobody", "kill -ax nobody",
    "delete", "delete nobody", "delete -f", "delete -f nobody", "delete nobody --force",
    "delete nobody -force=false", "list", "list -q", "list extra", "list -f nonsense",
    "list --format=table", "update nobody", "update --memory", "events nobody",
    "events --stats nobody", "events --interval nonsense nobody", "exec", "exec nobody true",
    "exec nobody -- true", "exec --cwd", "exec -p /nonexistent nobody", "create", "create a b",
 "run", "run --preserve-fds x a", "create --nonsense a", "checkpoint",
    "checkpoint nobody", "restore", "nonsense", "nonsense -h", "h nonsense", "-nonsense list",
    "--debug=perhaps list", "--log", "--log-format nonsense list", "--log= list", "spec extra",
    "features extra",
)  # fmt: skip


def call(program: str, line: str, tmp_path) -> tuple[int, str, str]:
    """Return exit code, first line of output, and the message of the error."""
    root, empty = tmp_path / "root", tmp_path / "empty"
    root.mkdir(exist_ok=True)
    empty.mkdir(exist_ok=True)
    done = subprocess.run(
        [program, "--root", str(root), *line.split()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=empty,
        timeout=60,
    )
    error = done.stderr.strip().partition(' msg="')[2].rstrip('"').replace("\\n", "")
    error = error.replace(f"{program}:", "runc:")
    return done.returncode, done.stdout.partition("\n")[0], error


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_means_the_same(runtime, tmp_path, line: str) -> None:
    assert RUNC is not None
    link = tmp_path / "runc"  # so that it says the same name
    link.symlink_to(runtime.command)
    theirs = call(RUNC, line, tmp_path)
    ours = call(str(link), line, tmp_path)
    assert ours[0] == theirs[0], ours
    assert ours[1] == theirs[1]
    assert theirs[2].removeprefix("exec failed: ") in ours[2]
