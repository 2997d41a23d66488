"""`nestbox-runtime delete`: remove a container and all that it left."""

from __future__ import annotations

from nestbox.cli.oci.command import FLAG, Call, Command, Option


def _delete(call: Call) -> int:
    from nestbox.runtime.oci.delete import delete

    session = call.session
    delete(session.root, call.container, force=call.values.flag("force"), log=session.log)
    return 0


COMMAND = Command(
    "delete",
    "delete any resources held by the container often used with detached container",
    _delete,
    options=(
        Option(
            "force f", FLAG, "Forcibly deletes the container if it is still running (uses SIGKILL)"
        ),
    ),
)
