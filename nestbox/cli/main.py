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
