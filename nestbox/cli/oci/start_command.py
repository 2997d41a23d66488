"""`nestbox-runtime start`: execute the program of a created container."""

from __future__ import annotations

from nestbox.cli.oci.command import Call, Command


def _start(call: Call) -> int:
    from nestbox.runtime.oci.start import start

    start(call.session.root, call.container, call.session.log)
    return 0


COMMAND = Command(
    "start",
    "executes the user defined process in a created container",
    _start,
    description="The start command executes the user defined process in a created container.",
)
