"""`nestbox-runtime pause`: stop all processes of a container."""

from __future__ import annotations

from nestbox.cli.oci.command import Call, Command


def _pause(call: Call) -> int:
    from nestbox.runtime.oci.freezing import pause

    pause(call.session.root, call.container)
    return 0


COMMAND = Command(
    "pause",
    "pause suspends all processes inside the container",
    _pause,
    description="The pause command suspends all processes in the instance of the container.",
)
