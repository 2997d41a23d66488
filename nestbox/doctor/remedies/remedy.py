"""A remedy: text to paste for one layer, and what has to be done elsewhere. Values, and the table.

Each layer writes what it can say, and nothing that was not asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.doctor.remedies import (
    compose,
    flags,
    gitlab,
    kubernetes,
    lxc,
    systemd,
    talos,
)
from nestbox.policy.change import Change, ChangeKind, risk

if TYPE_CHECKING:
    from collections.abc import Callable

_K: Final = ChangeKind

# Whom to tell: what a layer writes, and the kinds of changes that it has words for.
_LAYERS: Final[dict[str, tuple[Callable[[tuple[Change, ...]], str], frozenset[ChangeKind]]]] = {
    "docker": (flags.docker, flags.DOCKER_KINDS),
    "podman": (flags.podman, flags.PODMAN_KINDS),
    "nestbox": (flags.nestbox, flags.NESTBOX_KINDS),
    "compose": (compose.compose, compose.KINDS),
    "kubernetes": (kubernetes.pod, kubernetes.KINDS),
    "arc": (kubernetes.runner_scale_set, kubernetes.KINDS),
    "gitlab": (gitlab.config_toml, gitlab.KINDS),
    "systemd": (systemd.drop_in, systemd.KINDS),
    "talos": (talos.machine_configuration, talos.KINDS),
    "lxc": (lxc.configuration, lxc.KINDS),
}
LAYERS: Final = tuple(_LAYERS)


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """What to do so that something works, at one layer and around it."""

    layer: str
    text: str  # to paste; empty when this layer can do nothing
    elsewhere: tuple[str, ...]  # commands and words for what the layer cannot say
    risks: tuple[str, ...]  # "CAP_SYS_ADMIN: …"


def remedy_for(layer: str, changes: tuple[Change, ...]) -> Remedy:
    """Return the changes written for a layer, one of ``LAYERS``; nothing for no changes."""
    write, kinds = _LAYERS[layer]
    own = tuple(change for change in changes if change.kind in kinds)
    others = tuple(change for change in changes if change.kind not in kinds)
    told = {_name(change): risk(change) for change in changes}
    return Remedy(
        layer=layer,
        text=write(own) if own else "",
        elsewhere=tuple(dict.fromkeys(line for one in others for line in _elsewhere(one))),
        risks=tuple(f"{name}: {text}" for name, text in told.items() if text),
    )


def _name(change: Change) -> str:
    if change.kind is _K.CAPABILITY:
        return change.value
    return f"{change.kind} {change.value}" if change.kind in _NAMED else change.kind.value


_NAMED: Final = frozenset({_K.DEVICE, _K.SYSCTL})


def _elsewhere(change: Change) -> list[str]:
    """Return how a change is made outside of any engine."""
    match change.kind:
        case _K.SYSCTL:
            return [f"on the machine, as root: sysctl -w {change.value}"]
        case _K.SUBORDINATE_IDS:
            ids = f"{change.value}:100000:65536"
            return [f"add the line {ids} to /etc/subuid and to /etc/subgid"]
        case _K.PACKAGE:
            return [f"install: apt-get install {change.value}"]
        case _K.KERNEL:
            return [f"use a kernel with {change.value}"]
        case _K.CAPABILITY:
            return [f"{change.value}: this layer cannot give it"]
        case _:
            reason = f" ({change.why})" if change.why else ""
            text = f"{change.kind} {change.value}".strip()
            return [f"{text}: this layer has no setting for it{reason}"]
