"""What this host has beside what the runtime can do: the part that `features --host` adds.

The document of runtime-spec says what a runtime knows, wherever it runs; this says what is there
here. Node labels of a cluster are made from it.
"""

from __future__ import annotations

import os

import msgspec

from nestbox.kernel.capabilities import TABLE
from nestbox.outer.facts import OuterEnvironment, Subject
from nestbox.outer.probe import observe
from nestbox.outer.recording import fingerprint
from nestbox.runtime.context import Context
from nestbox.runtime.oci.criu import problem

_CRIU = "criu"


class HostFeatures(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What can be used here.

    ``fingerprint`` names environments that are alike with one value; ``available`` are the
    capabilities that a container can have in effect, ``regainable`` those that only an exec by root
    brings back, ``missing`` those that the kernel knows and nobody can have here. ``criu`` is the
    path of the program, None without one, and ``criu_problem`` why it cannot be used, if so.
    """

    fingerprint: str
    available: tuple[str, ...]
    regainable: tuple[str, ...]
    missing: tuple[str, ...]
    criu: str | None
    criu_problem: str
    environment: OuterEnvironment


def host_features(context: Context) -> HostFeatures:
    """Return what this host has. Raises EnvironmentUnreadable."""
    environment = observe(
        frozenset(Subject),
        state_directory=context.storage,
        environment=context.environment,
    )
    assert environment.capabilities is not None
    sets, last = environment.capabilities.sets, environment.capabilities.last
    permitted, bounding = sets.permitted, sets.bounding & ~sets.permitted
    known = (1 << (last + 1)) - 1
    return HostFeatures(
        fingerprint=fingerprint(environment),
        available=_names(permitted & sets.bounding),
        regainable=_names(bounding),
        missing=_names(known & ~permitted & ~bounding),
        criu=_find(_CRIU, context.environment.get("PATH", os.defpath)),
        criu_problem=problem(_CRIU),
        environment=environment,
    )


def _names(mask: int) -> tuple[str, ...]:
    return tuple(row.name for row in TABLE if mask >> row.number & 1)


def _find(program: str, path: str) -> str | None:
    for directory in path.split(":"):
        candidate = os.path.join(directory or ".", program)
        if os.access(candidate, os.X_OK):
            return candidate
    return None
