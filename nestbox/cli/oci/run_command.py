"""`nestbox-runtime run`: create and start a container, wait for its end and delete it."""

from __future__ import annotations

from nestbox.cli.oci.command import FLAG, Call, Command, Option
from nestbox.cli.oci.shared_options import (
    CREATE,
    DETACH,
    NEW_CONTAINER,
    NO_SUBREAPER,
    create_request,
    run_mode,
)


def _run(call: Call) -> int:
    from nestbox.errors import LaunchError, ProgramNotFound, ProgramNotInvokable
    from nestbox.runtime.oci.run import run

    log = call.session.log
    try:
        return run(create_request(call), run_mode(call), call.session.options(), log)
    except (ProgramNotFound, ProgramNotInvokable) as error:
        if error.what.startswith("exec:"):
            raise  # it was missed while the container was made
        log.program_failed(error.what, str(error))
        return LaunchError.exit_code


COMMAND = Command(
    "run",
    "create and run a container",
    _run,
    arguments=NEW_CONTAINER,
    description="The exit status is that of the program; 128 and the number of a signal that "
    "ended it.",
    options=(
        *CREATE,
        DETACH,
        Option("keep", FLAG, "do not delete the container after it exits"),
        NO_SUBREAPER,
    ),
)
