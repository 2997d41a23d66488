"""`nestbox-runtime create`: make a container whose program waits for start."""

from __future__ import annotations

from nestbox.cli.oci.command import Call, Command
from nestbox.cli.oci.shared_options import CREATE, NEW_CONTAINER, create_request


def _create(call: Call) -> int:
    from nestbox.runtime.oci.create import create

    create(create_request(call), call.session.options(), call.session.log)
    return 0


COMMAND = Command(
    "create",
    "create a container",
    _create,
    arguments=NEW_CONTAINER,
    description='The program that "process.args" of the bundle\'s config.json names is executed '
    "by the command start.",
    options=CREATE,
)
