"""The command server inside an environment: `python -m tests.root.nesting.inside`.

One JSON document a line from standard input is a call, and one to standard output its answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from nestbox.cli import doctor, plan, run  # noqa: F401 - loaded before, and used by what is forked
from nestbox.cli.main import _take_view as take_view
from nestbox.cli.main import run as run_nestbox
from tests.root.nesting.session import Answer, Call

_NESTBOX = "nestbox"


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin.buffer:
        call = msgspec.json.decode(line, type=Call)
        answer = _answer(call)
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def _answer(call: Call) -> Answer:
    # Files and no pipes: what a command leaves running may keep its standard streams.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        status = _run(call, out.fileno(), err.fileno())
        return Answer(status=status, out=_text(out), err=_text(err))


def _text(file) -> str:
    file.seek(0)
    return file.read().decode(errors="backslashreplace")


def _run(call: Call, out: int, err: int) -> int:
    """Return the status of a command; -1 when it had to be killed."""
    if call.words[0] != _NESTBOX:
        try:
            with open(
                "/dev/null" if Path("/dev/null").exists() else "/tmp/.covers/nothing"
            ) as none:
                return subprocess.run(
                    call.words,
                    stdin=none,
                    stdout=out,
                    stderr=err,
                    timeout=call.seconds,
                    check=False,
                ).returncode
        except subprocess.TimeoutExpired:
            return -1
        except OSError as error:
            os.write(err, str(error).encode())
            return 127
    return _forked(call, out, err)


def _forked(call: Call, out: int, err: int) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            os.dup2(os.open("/tmp/.covers/nothing", os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            take_view()
            status = run_nestbox(list(call.words[1:]))
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:  # noqa: BLE001 - a forked child must not return
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return _wait(child, call.seconds)


def _wait(child: int, seconds: float) -> int:
    import select
    import signal

    handle = os.pidfd_open(child)
    try:
        in_time = select.select([handle], [], [], seconds)[0]
        if not in_time:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(status) if in_time else -1


if __name__ == "__main__":
    main()
