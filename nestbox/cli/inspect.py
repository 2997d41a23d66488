"""`nestbox inspect`: everything that is kept of a container, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestbox.cli.command import Command
from nestbox.cli.containers import all_roots_option, container_arguments, find

if TYPE_CHECKING:
    from nestbox.runtime.containers import Seen


def _inspect(containers: tuple[str, ...], root: str | None) -> None:
    from nestbox.cli.output import say_json

    say_json([_whole(find(name, root)) for name in containers])


def _whole(seen: Seen) -> dict[str, Any]:
    """Return what is known of a container, with its configuration or its record."""
    import msgspec

    from nestbox.runtime.containers import Origin, run_state

    document: dict[str, Any] = msgspec.to_builtins(seen)
    if seen.origin is Origin.RUN:
        state = run_state(seen.root, seen.id)
        document["cgroups"] = list(state.cgroups)
        document["layers"] = state.upper
    else:
        document |= _of_engine(seen)
    document["record"] = _record(seen)
    return document


def _of_engine(seen: Seen) -> dict[str, Any]:
    import msgspec

    from nestbox.runtime.oci.store import Store

    container = Store(seen.root).load(seen.id)
    state = container.state
    return {
        "rootfs": state.rootfs,
        "owner": state.owner,
        "annotations": state.annotations,
        "cgroup": state.cgroup,
        "namespaces": state.namespaces,
        "config": msgspec.json.decode(container.configuration()),
    }


def _record(seen: Seen) -> Any:
    """Return who asked for what and what was given; None when nothing was kept."""
    import os

    import msgspec

    try:
        with open(os.path.join(seen.root, seen.id, "record.json"), "rb") as file:
            return msgspec.json.decode(file.read())
    except (OSError, msgspec.MsgspecError):
        return None


command = Command(
    "inspect",
    callback=_inspect,
    help="Print all that is kept of containers, as JSON: state, configuration, record.",
    params=[all_roots_option(), container_arguments()],
    examples=(("nestbox inspect web", "what it was created with and what it got"),),
)
