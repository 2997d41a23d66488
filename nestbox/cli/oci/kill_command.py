"""`nestbox-runtime kill`: send a signal to a container."""

from __future__ import annotations

from nestbox.cli.oci.command import FLAG, Call, Command, Option


def _kill(call: Call) -> int:
    from nestbox.runtime.oci.kill import kill

    signal = call.arguments[1] if len(call.arguments) > 1 and call.arguments[1] else "SIGTERM"
    kill(call.session.root, call.container, signal, everyone=call.values.flag("all"))
    return 0


COMMAND = Command(
    "kill",
    "kill sends the specified signal (default: SIGTERM) to the container's init process",
    _kill,
    arguments='<container-id> [signal]\n\nWhere "<container-id>" is the name of the container and '
    '"[signal]" is the signal\nto be sent, by name or number.',
    options=(Option("all a", FLAG, "send the signal to all processes inside the container"),),
    maximum=2,
)
