"""`nestbox-runtime state`: the state of a container as JSON."""

from __future__ import annotations

import sys

from nestbox import json_text
from nestbox.cli.oci.command import Call, Command


def _state(call: Call) -> int:
    from nestbox.runtime.oci.description import describe
    from nestbox.runtime.oci.store import Store

    container = Store(call.session.root).load(call.container)
    sys.stdout.write(json_text.encode(describe(container), indent="  ") + "\n")
    return 0


COMMAND = Command(
    "state",
    "output the state of a container",
    _state,
    description="The state command outputs current state information for the\ninstance of a "
    "container.",
)
