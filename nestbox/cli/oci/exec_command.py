"""`nestbox-runtime exec`: run one more process in a container."""

from __future__ import annotations

from nestbox.cli.oci.command import FLAG, NUMBERS, TEXT, TEXTS, Call, Command, Option
from nestbox.cli.oci.shared_options import (
    CONSOLE_SOCKET,
    DETACH,
    PID_FILE,
    PIDFD_SOCKET,
    PRESERVE_FDS,
    absolute,
)
from nestbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.oci.requests import ExecRequest

_ENGINE_FAILED = 255  # so that it is told from a status of the program


def _exec(call: Call) -> int:
    from nestbox.runtime.oci.execute import execute

    return execute(_request(call), call.session.options(), call.session.log)


def _request(call: Call) -> ExecRequest:
    """Return the process to run. Raises UsageError."""
    from nestbox.runtime.oci.requests import ExecRequest

    values = call.values
    return ExecRequest(
        id=call.container,
        args=tuple(call.arguments[1:]),
        process=absolute(values.text_if_given("process")),
        cwd=values.text_if_given("cwd"),
        env=values.texts("env"),
        tty=values.flag_if_given("tty"),
        user=values.text_if_given("user"),
        additional_gids=_groups(values.numbers("additional-gids")),
        capabilities=values.texts("cap"),
        no_new_privileges=values.flag_if_given("no-new-privs"),
        apparmor=values.text_if_given("apparmor"),
        process_label=values.text_if_given("process-label"),
        cgroup=values.texts("cgroup"),
        console_socket=values.text_if_given("console-socket"),
        pidfd_socket=values.text_if_given("pidfd-socket"),
        pid_file=absolute(values.text_if_given("pid-file")),
        detach=values.flag("detach"),
        preserve_fds=values.number("preserve-fds"),
        ignore_paused=values.flag("ignore-paused"),
    )


def _groups(numbers: tuple[int, ...]) -> tuple[int, ...]:
    for number in numbers:
        if number < 0:
            raise UsageError(
                f"additional-gids must be a positive number {number}",
                cause="no group has a negative number",
                remedy="give the number of a group",
            )
    return numbers


COMMAND = Command(
    "exec",
    "execute new process inside the container",
    _exec,
    arguments="<container-id> <command> [command options]  || -p process.json <container-id>\n\n"
    'Where "<container-id>" is the name of the container and "<command>" is the\ncommand to be '
    'executed in it. "<command>" can\'t be empty unless a "-p" flag is\ngiven.',
    description="The exit status is that of the command; 255 when it could not be run.",
    options=(
        CONSOLE_SOCKET,
        PIDFD_SOCKET,
        Option("cwd", TEXT, "current working directory in the container"),
        Option("env e", TEXTS, "set an environment variable"),
        Option("tty t", FLAG, "allocate a pseudoterminal"),
        Option("user u", TEXT, "user id, or user id and group id: <uid>[:<gid>]"),
        Option("additional-gids g", NUMBERS, "additional group id"),
        Option("process p", TEXT, "file with the whole process as JSON"),
        DETACH,
        PID_FILE,
        Option("process-label", TEXT, "SELinux label of the process"),
        Option("apparmor", TEXT, "AppArmor profile of the process"),
        Option("no-new-privs", FLAG, "set no_new_privs for the process"),
        Option("cap c", TEXTS, "add a capability to those of the process"),
        PRESERVE_FDS,
        Option("cgroup", TEXTS, "existing sub-cgroup to run in: [<controller>:]<cgroup>"),
        Option("ignore-paused", FLAG, "allow exec in a paused container"),
    ),
    maximum=None,
    stop_early=True,
    failed=_ENGINE_FAILED,
)
