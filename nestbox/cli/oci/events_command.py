"""`nestbox-runtime events`: what a container uses, and when it runs out of memory."""

from __future__ import annotations

import sys

from nestbox.cli.oci.command import DURATION, FLAG, Call, Command, Option
from nestbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.oci.events import Event

_DEFAULT = 5_000_000_000  # nanoseconds
_NANOSECONDS = 1e9


def _events(call: Call) -> int:
    from nestbox.runtime.oci.events import show_events, show_statistics
    from nestbox.runtime.oci.store import Store

    interval = call.values.number("interval", _DEFAULT)
    if interval <= 0:
        raise UsageError(
            "duration interval must be greater than 0",
            cause="without time between them statistics would fill the disk",
            remedy="give a time as 1s or 500ms",
        )
    container = Store(call.session.root).load(call.container)
    if call.values.flag("stats"):
        show_statistics(container, _write)
    else:
        show_events(
            container,
            _write,
            interval_seconds=interval / _NANOSECONDS,
            log=call.session.log,
        )
    return 0


def _write(event: Event) -> None:
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


COMMAND = Command(
    "events",
    "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
    _events,
    description="The events command displays information about the container. By default the\n"
    "information is displayed once every 5 seconds.",
    options=(
        Option("interval", DURATION, "set the stats collection interval", default="5s"),
        Option("stats", FLAG, "display the container's stats then exit"),
    ),
)
