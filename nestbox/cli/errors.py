"""The boundary of errors: whatever ends a command becomes a message and an exit code here alone."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import click

from nestbox.cli import output
from nestbox.errors import NestboxError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = 125  # nestbox refused or failed, as docker run says it
INTERRUPTED = 130  # 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE


class Settings:
    """What holds for one call of the command line, whatever the command."""

    def __init__(self) -> None:
        self.debug = False  # show where in nestbox an error arose


def guard(command: Callable[[], object], settings: Settings) -> int:
    """Return the exit code of a command, after it has told of any error."""
    try:
        code = _finish(command)
    except click.ClickException as error:
        code = _report(usage_error(error), settings)
    except NestboxError as error:
        code = _report(error, settings)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as error:
        code = _system_error(error, settings)
    except Exception as error:  # noqa: BLE001 - the last place at which a defect can be told
        code = _defect(error, settings)
    return code


def _finish(command: Callable[[], object]) -> int:
    """Return the exit code of a command that came to its end, after all is written."""
    try:
        result = command()
    except click.exceptions.Exit as end:
        result = end.exit_code
    output.flush()
    return result if isinstance(result, int) else 0


def _report(error: NestboxError, settings: Settings) -> int:
    if settings.debug:
        _show_traceback(error)
    output.show_error(error)
    return error.exit_code


def _system_error(error: OSError, settings: Settings) -> int:
    """Tell of an error of the system that no command foresaw; that of standard output is one."""
    if error.errno == errno.EPIPE:
        output.discard_output()
        return PIPE_CLOSED
    if error.errno in {errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG} and not error.filename:
        reason = error.strerror or str(error)
        output.discard_output()
        return _report(
            NestboxError(
                "cannot write the result",
                cause=f"standard output: {reason}",
                remedy="send it where there is room for it",
            ),
            settings,
        )
    return _defect(error, settings)


def _defect(error: Exception, settings: Settings) -> int:
    """Tell of an error that must not be, with what a report of it needs."""
    if settings.debug:
        _show_traceback(error)
    from nestbox.version import VERSION

    shown = NestboxError(
        f"internal error: {type(error).__name__}: {error}",
        cause=f"this is a defect of nestbox {VERSION}, at {_place(error)}",
        remedy="report it to the maintainers of nestbox with this message, the file that "
        "nestbox doctor --record FILE makes, and what nestbox --debug adds to the message",
    )
    return _report(shown, Settings())


def _show_traceback(error: BaseException) -> None:
    from traceback import format_exception

    for line in "".join(format_exception(error)).splitlines():
        output.note(line)


def _place(error: Exception) -> str:
    """Return file and line at which the error was raised."""
    trace = error.__traceback__
    if trace is None:
        return "an unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename
    parts = file.replace("\\", "/").split("/")
    return f"{'/'.join(parts[-3:])}:{trace.tb_lineno}"


def usage_error(error: click.ClickException) -> NestboxError:
    """Return the error of the command-line parser as one of ours."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "nestbox"
    help_hint = f"see {path} --help"
    what, cause, remedy = f"usage of {path}", _phrase(error.message), help_hint
    match error:
        case click.NoSuchOption():
            close = [name for name in error.possibilities or () if name.startswith("-")]
            what, cause = (
                f"no option {error.option_name[:80]}",
                f"{path} has no option of that name",
            )
            remedy = f"did you mean {' or '.join(close)}? {help_hint}" if close else help_hint
        case click.MissingParameter():
            what, cause = f"{_parameter(error)} is missing", f"{path} needs it"
        case click.BadParameter():
            what = f"{_parameter(error)} of {path}"
        case click.BadOptionUsage():
            what = f"option {error.option_name} of {path}"
            cause = cause.replace(f"option {error.option_name!r}", "it", 1)
        case _:
            pass
    return UsageError(what, cause=cause, remedy=remedy)


def _parameter(error: click.BadParameter) -> str:
    """Return what the person knows the parameter by."""
    parameter = error.param
    if parameter is None:
        return "an argument"
    if isinstance(parameter, click.Option):
        return f"option {'/'.join(parameter.opts)}"
    return f"the argument {(parameter.name or '').upper()}"


def _phrase(message: str) -> str:
    """Return a sentence of the parser as a phrase in the middle of one of ours."""
    text = message.strip().rstrip(".")
    return text[:1].lower() + text[1:]
