"""The entry point of the command `nestbox`."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

COMPLETION_VARIABLE = "_NESTBOX_COMPLETE"


def main() -> NoReturn:
    """Run the command of this process's arguments, and exit with its code."""
    # What a command makes lives as long as it does: to look for garbage would cost 3 ms.
    gc.disable()
    _open_closed_streams()
    _take_view()
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules were loaded
        code = 130
    # All is written and closed; to take the interpreter apart would cost 10 ms.
    os._exit(code)


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that is closed.

    Else the next file that is opened would be in its place, and a message, or the container, would
    write to that.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor, so this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _take_view() -> None:
    """See to a /proc that shows this process and a root that is a mount, for this command alone."""
    from nestbox.kernel.proc_marks import has_marks_of_proc

    own_proc, whole = True, False
    try:
        # Else it may be the file system of a server, which hangs.
        if has_marks_of_proc("/proc"):
            own_proc = os.readlink("/proc/self") != str(os.getpid())
            whole = _is_mount_at_root()
    except OSError:
        pass  # no /proc, or one that shows nothing
    if whole and not own_proc:
        return
    from nestbox.cli.output import note
    from nestbox.runtime.own_view import take_view

    for done in take_view(own_proc=own_proc):
        note(f"nestbox: {done}")


def _is_mount_at_root() -> bool:
    """Return whether /proc/self/mountinfo has a line for /; it is one of the first."""
    with open("/proc/self/mountinfo", "rb", buffering=0) as file:
        text = b""
        while part := file.read(4096):
            text = text[-8:] + part
            # The place in the tree is followed by the options of the mount.
            if b" / rw" in text or b" / ro" in text:
                return True
    return False


def run(arguments: list[str]) -> int:
    """Return the exit code of a command line, without the name of the program."""
    from nestbox.cli.commands import nestbox
    from nestbox.cli.errors import Settings, guard

    settings = Settings()
    instruction = os.environ.get(COMPLETION_VARIABLE)

    def call() -> object:
        if instruction:
            from click.shell_completion import shell_complete

            return shell_complete(nestbox, {}, "nestbox", COMPLETION_VARIABLE, instruction)
        with nestbox.make_context("nestbox", arguments, obj=settings) as context:
            return nestbox.invoke(context)

    return guard(call, settings)
