"""Whether a workload runs here, in which mode, and the least that has to be changed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.doctor.remedies.remedy import LAYERS, Remedy, remedy_for
from nestbox.doctor.workloads.needs import Unmet, judge
from nestbox.outer.facts import EngineKind, Subject
from nestbox.policy.change import Change, ChangeKind

if TYPE_CHECKING:
    from nestbox.doctor.workloads.workload import Mode, Workload
    from nestbox.outer.facts import OuterEnvironment

SCHEMA: Final = 1  # of the JSON form

# What the judges of all needs look at.
SUBJECTS: Final = frozenset(Subject) - {Subject.LIMITS, Subject.NETWORK, Subject.USER_NAMESPACE}

# Which layer is spoken to, for the engine that is around us.
_LAYER_OF: Final = {
    EngineKind.DOCKER: "docker",
    EngineKind.PODMAN: "podman",
    EngineKind.NESTBOX: "nestbox",
    EngineKind.KUBERNETES: "kubernetes",
    EngineKind.TALOS: "kubernetes",  # what a pod lacks is the pod's matter
    EngineKind.LXC: "lxc",
    EngineKind.NONE: "systemd",
    EngineKind.FIRECRACKER: "systemd",
    EngineKind.WSL: "systemd",
}


class ModeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one mode is possible here; it is when nothing is unmet."""

    name: str
    about: str
    unmet: tuple[Unmet, ...]
    changes: tuple[Change, ...]  # all of them, each once


class WorkloadVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What doctor says of a workload."""

    schema: int = SCHEMA
    name: str
    about: str
    mode: str  # the first that works here, empty for none
    nearest: str  # that which needs the least, when none works
    modes: tuple[ModeVerdict, ...]
    remedy: Remedy | None  # for the nearest mode, when none works

    @property
    def works(self) -> bool:
        """Whether it runs here."""
        return bool(self.mode)


def judge_workload(
    workload: Workload, environment: OuterEnvironment, layer: str | None = None
) -> WorkloadVerdict:
    """Return whether a workload runs here; the remedy is for a layer, or for the engine around us.

    ``layer`` is one of ``LAYERS``.
    """
    modes = tuple(_judge_mode(mode, environment) for mode in workload.modes)
    working = next((mode for mode in modes if not mode.unmet), None)
    nearest = min(modes, key=lambda mode: _weight(mode.changes))
    remedy = None
    if working is None:
        remedy = remedy_for(layer or layer_of(environment), nearest.changes)
    return WorkloadVerdict(
        name=workload.name,
        about=workload.about,
        mode=working.name if working else "",
        nearest="" if working else nearest.name,
        modes=modes,
        remedy=remedy,
    )


def layer_of(environment: OuterEnvironment) -> str:
    """Return the layer that can be changed here: that of the CI runner, else of the engine."""
    engine = environment.engine
    if engine is None:
        return "docker"
    if engine.runner == "gitlab" and engine.kind is EngineKind.DOCKER:
        return "gitlab"
    if engine.runner == "github" and engine.kind is EngineKind.KUBERNETES:
        return "arc"
    layer = _LAYER_OF.get(engine.kind, "docker")
    assert layer in LAYERS
    return layer


def _judge_mode(mode: Mode, environment: OuterEnvironment) -> ModeVerdict:
    unmet = tuple(found for one in mode.needs if (found := judge(one, environment)) is not None)
    changes: dict[tuple[str, str], Change] = {}
    for one in unmet:
        for change in one.changes:
            changes.setdefault((change.kind, change.value), change)
    return ModeVerdict(
        name=mode.name,
        about=mode.about,
        unmet=unmet,
        changes=_least(tuple(changes.values())),
    )


def _least(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return the changes with the system calls of several as one."""
    calls = [one.value for one in changes if one.kind is ChangeKind.SYSTEM_CALLS]
    if len(calls) < 2:
        return changes
    listed = " ".join(dict.fromkeys(" ".join(calls).split()))
    joined = Change(kind=ChangeKind.SYSTEM_CALLS, value=listed)
    return (*(one for one in changes if one.kind is not ChangeKind.SYSTEM_CALLS), joined)


# What cannot be changed from outside weighs more than any number of settings.
_HEAVY: Final = {ChangeKind.KERNEL: 100, ChangeKind.SYSCTL: 3, ChangeKind.SYSTEM_CALLS: 2}


def _weight(changes: tuple[Change, ...]) -> int:
    admin = sum(one.value == "CAP_SYS_ADMIN" for one in changes)
    return sum(_HEAVY.get(one.kind, 1) for one in changes) + 2 * admin
