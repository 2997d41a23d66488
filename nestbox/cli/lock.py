"""`nestbox lock`: keep what containers get here, and fail when a runner gives something else."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import click

from nestbox.cli.command import Command, Option, output_option
from nestbox.cli.doctor import DoctorFailed
from nestbox.errors import NestboxError, reason

if TYPE_CHECKING:
    from nestbox.doctor.lock import Change
    from nestbox.doctor.outlook import Outlooks

_FILE: Final = "nestbox.lock"
_LIMIT: Final = 1 << 20  # bytes
_CHANGED: Final = 1


def lock(file: str, check: bool, environment: str | None, output: str) -> int:
    """Write the lock, or compare it; return 0 when all is as it says, else 1.

    Raises:
        DoctorFailed: the lock or the environment cannot be read, or the lock not be written.
    """
    from nestbox.cli.caps import foresee_environment

    try:
        table = foresee_environment(environment)
        if not check:
            _write(file, table)
            return 0
        changed = _compare(file, table)
    except NestboxError as error:
        raise DoctorFailed(error.what, cause=error.cause, remedy=error.remedy) from error
    _show(changed, file, output)
    return _CHANGED if changed else 0


def _write(path: str, table: Outlooks) -> None:
    from nestbox.cli.output import note
    from nestbox.doctor.lock import lock_of, save_lock

    temporary = f"{path}.{os.getpid()}"
    _check_regular(path)
    try:
        with open(temporary, "xb") as file:
            file.write(save_lock(lock_of(table)))
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        _remove(temporary)
        raise DoctorFailed(
            f"cannot write the lock {path!r}",
            cause=reason(error),
            remedy="name a file in a directory that can be written",
        ) from error
    note(f"nestbox: wrote {path}; nestbox lock --check {path} fails where containers get less")


def _check_regular(path: str) -> None:
    """Refuse what is there and no file: a device would be replaced, a FIFO never be read."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return  # what follows says why
    if not regular:
        raise DoctorFailed(
            f"cannot use the lock {path!r}",
            cause="it is there, and no regular file",
            remedy="name a file",
        )


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except (OSError, ValueError):
        return


def _compare(path: str, table: Outlooks) -> tuple[Change, ...]:
    from nestbox.doctor.lock import changes, load_lock

    _check_regular(path)
    try:
        with open(path, "rb") as file:
            text = file.read(_LIMIT)
    except (OSError, ValueError) as error:
        raise DoctorFailed(
            f"cannot read the lock {path!r}",
            cause=reason(error),
            remedy="write one on a runner that is as it should be: nestbox lock",
        ) from error
    return changes(load_lock(text, path), table)


def _show(changed: tuple[Change, ...], path: str, output: str) -> None:
    from nestbox.cli.output import say, say_json
    from nestbox.cli.page import page, show
    from nestbox.doctor.lock_text import render_changes

    if output == "json":
        say_json(changed)
    elif changed:
        show(render_changes(changed, page()))
    else:
        say(f"containers get here what {path} says")


command = Command(
    "lock",
    callback=lock,
    help="Keep in FILE which capabilities containers get here, or compare with it.\n\n"
    "A lock is made once on a runner that is as it should be and kept in the repository. Exit code "
    "of --check: 0 all is as the lock says; 1 something was gained or lost; 2 nothing can be said.",
    params=[
        click.Argument(["file"], default=_FILE, metavar="[FILE]"),
        Option(
            ["--check"],
            is_flag=True,
            help="Write nothing; say what containers get more or less than FILE says.",
        ),
        Option(
            ["--environment"],
            metavar="RECORDING",
            help="Take what was recorded in RECORDING, not what is here.",
        ),
        output_option(),
    ],
    examples=(
        ("nestbox lock", f"write {_FILE} for this runner"),
        ("nestbox lock --check", "fail when today's runner gives other capabilities"),
    ),
)
