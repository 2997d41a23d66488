"""The entry point of `nestbox-runtime`: reads the command line, and loads the one command of it.

Exit codes are runc's: 0, 1 for a failure (255 for one of exec), 3 for a command that does not
exist, and of run and exec the status of the container's process.
"""

from __future__ import annotations

import gc
import os
import sys

from nestbox.cli.oci.command import Call
from nestbox.cli.oci.parse import BadCommandLine, parse
from nestbox.cli.oci.session import Session, global_options
from nestbox.errors import NestboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from nestbox.cli.oci.command import Command

SPEC = "1.3.0"  # the version of the runtime-spec that is implemented

# Where runc says that a mount failed, for callers that match the whole sentence.
_IN_INIT = "unable to start container process: error during container init: "
_FAILED = 1
_UNKNOWN_COMMAND = 3
_INTERRUPTED = 130  # 128 + SIGINT
_PIPE_CLOSED = 141  # 128 + SIGPIPE

COMMANDS = {
    "checkpoint": "checkpoint a running container",
    "create": "create a container",
    "delete": "delete any resources held by the container often used with detached container",
    "events": "display container events such as OOM notifications, cpu, memory, and IO usage "
    "statistics",
    "exec": "execute new process inside the container",
    "features": "show the enabled features",
    "kill": "kill sends the specified signal (default: SIGTERM) to the container's init process",
    "list": "lists containers started with the given root",
    "pause": "pause suspends all processes inside the container",
    "ps": "ps displays the processes running inside a container",
    "restore": "restore a container from a previous checkpoint",
    "resume": "resumes all processes that have been previously paused",
    "run": "create and run a container",
    "spec": "create a new specification file",
    "start": "executes the user defined process in a created container",
    "state": "output the state of a container",
    "update": "update container resource constraints",
}


def main() -> NoReturn:
    """Run the command of this process's arguments, and exit with its code."""
    # What a command makes lives as long as it does: to look for garbage would cost 3 ms.
    gc.disable()
    _open_closed_streams()
    try:
        code = run(sys.argv[0], sys.argv[1:])
    except KeyboardInterrupt:  # while modules were loaded
        code = _INTERRUPTED
    # All is written and closed; to take the interpreter apart would cost milliseconds.
    os._exit(code)


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that is closed.

    Else the next file that is opened would be in its place, and a message would go to that.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor, so this one
    # What engines read is UTF-8 wherever they run, and names of files are the bytes that they are.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)


def run(program: str, words: list[str]) -> int:
    """Return the exit code of a command line, without the name of the program."""
    session = Session(os.path.basename(program))
    code = _guard(session, lambda: _run(session, words), _FAILED, "")
    try:
        sys.stdout.flush()
    except OSError as error:
        session.log.fatal(f"write to standard output: {error.strerror}")
        return code or _FAILED
    return code


def _run(session: Session, words: list[str]) -> int:
    options = global_options()
    try:
        values, arguments = parse(options, words, stop_early=True)
    except BadCommandLine as error:
        _print(f"Incorrect Usage. {error}\n\n{_root_help(session)}")
        session.log.fatal(str(error))
        return _FAILED
    if values.flag("version") and not arguments:
        _print(_version(session.program))
        return 0
    if values.flag("help") or not arguments or arguments[0] in {"help", "h"}:
        return _help(session, arguments[1:])
    session.configure(values)
    command = _load(arguments[0])
    if command is None:
        return _unknown(session, arguments[0])
    return _call(session, command, arguments[1:])


def _call(session: Session, command: Command, words: list[str]) -> int:
    try:
        values, arguments = parse(command.options, words, stop_early=command.stop_early)
    except BadCommandLine as error:
        return _misused(session, command, f"Incorrect Usage: {error}", str(error))
    if values.flag("help"):
        _print(_command_help(session, command))
        return 0
    if problem := _count_problem(command, len(arguments)):
        problem = f'{session.program}: "{command.name}" requires {problem} argument(s)'
        return _misused(session, command, "Incorrect Usage.", problem)
    call = Call(session, values, arguments)
    prefix = command.name if command.name in {"create", "run", "exec"} else ""
    return _guard(session, lambda: command.run(call), command.failed, prefix)


def _count_problem(command: Command, count: int) -> str:
    """Return how many arguments there should be, or nothing when that is so."""
    if command.minimum == command.maximum and count != command.minimum:
        return f"exactly {command.minimum}"
    if count < command.minimum:
        return f"a minimum of {command.minimum}"
    if command.maximum is not None and count > command.maximum:
        return f"a maximum of {command.maximum}"
    return ""


def _misused(session: Session, command: Command, heading: str, problem: str) -> int:
    _print(f"{heading}\n\n{_command_help(session, command)}")
    session.log.fatal(problem)
    return _FAILED


def _guard(session: Session, action: Callable[[], int], failed: int, prefix: str) -> int:
    """Return the exit code of an action, after its error was told: the one place for that."""
    try:
        return action()
    except NestboxError as error:
        message = str(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # What is still to be written vanishes: its reader has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)
        return _PIPE_CLOSED
    except OSError as error:
        _trace(session, error)
        name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        message = f"{name}{(error.strerror or str(error)).lower()}"
    except Exception as error:  # noqa: BLE001 - the last place at which a defect can be told
        _trace(session, error)
        message = f"internal error: {type(error).__name__}: {error} (--debug tells where)"
    if prefix:
        subject = "exec" if prefix == "exec" else f"{session.program} {prefix}"
        stage = _IN_INIT if message.startswith("error mounting ") else ""
        message = f"{subject} failed: {stage}{message}"
    session.log.fatal(message)
    return failed


def _trace(session: Session, error: BaseException) -> None:
    if session.log.debugging:
        from traceback import format_exception

        for line in "".join(format_exception(error)).splitlines():
            session.log.debug(line)


def _load(name: str) -> Command | None:
    """Return a command, the only one whose module is loaded."""
    if name not in COMMANDS:
        return None
    module = f"nestbox.cli.oci.{name}_command"
    __import__(module)  # the module importlib would be one more to load
    command: Command = sys.modules[module].COMMAND
    return command


def _unknown(session: Session, name: str) -> int:
    session.log.fatal(f"No help topic for '{name}'")
    return _UNKNOWN_COMMAND


def _help(session: Session, topics: list[str]) -> int:
    if not topics:
        _print(_root_help(session))
        return 0
    command = _load(topics[0])
    if command is None:
        return _unknown(session, topics[0])
    _print(_command_help(session, command))
    return 0


def _root_help(session: Session) -> str:
    from nestbox.cli.oci.help import root_help

    return root_help(session.program, COMMANDS, global_options())


def _command_help(session: Session, command: Command) -> str:
    from nestbox.cli.oci.help import command_help

    return command_help(session.program, command)


def _version(program: str) -> str:
    from nestbox.version import VERSION

    # As the packages of distributions have it: the version in place of a commit.
    return f"{program} version {VERSION}\ncommit: v{VERSION}\nspec: {SPEC}\n"


def _print(text: str) -> None:
    sys.stdout.write(text)
