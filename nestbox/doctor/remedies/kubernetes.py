"""Changes as a pod's security context, by itself and in the values of GitHub's runners. Pure.

Source: Kubernetes API reference, SecurityContext; the gha-runner-scale-set chart of
actions-runner-controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.doctor.remedies.common import short_capabilities
from nestbox.policy.change import ChangeKind, values, wanted

if TYPE_CHECKING:
    from nestbox.policy.change import Change

_K: Final = ChangeKind
KINDS: Final = frozenset(
    {
        _K.CAPABILITY, _K.SYSTEM_CALLS, _K.APPARMOR, _K.PROC, _K.VOLUME, _K.ROOT_USER,
        _K.NEW_PRIVILEGES,
    }
)  # fmt: skip


def pod(changes: tuple[Change, ...]) -> str:
    """Return what belongs into a pod, with names to replace."""
    return "\n".join(_specification(changes, "NAME"))


def runner_scale_set(changes: tuple[Change, ...]) -> str:
    """Return what belongs into the chart's values."""
    lines = _specification(changes, "runner")
    return "\n".join(["template:", *(f"  {line}" for line in lines)])


def _specification(changes: tuple[Change, ...], container: str) -> list[str]:
    lines = ["spec:"]
    if wanted(changes, _K.PROC):
        # An unmasked /proc is only given to a pod in a user namespace of its own.
        lines.append("  hostUsers: false")
    volumes = values(changes, _K.VOLUME)
    if volumes:
        lines.append("  volumes:")
        for number, _ in enumerate(volumes):
            lines += [f"    - name: nestbox-{number}", "      emptyDir: {}"]
    lines += ["  containers:", f"    - name: {container}"]
    if volumes:
        lines.append("      volumeMounts:")
        for number, path in enumerate(volumes):
            lines += [f"        - name: nestbox-{number}", f'          mountPath: "{path}"']
    context = _security_context(changes)
    if context:
        lines += ["      securityContext:", *(f"        {line}" for line in context)]
    return lines


def _security_context(changes: tuple[Change, ...]) -> list[str]:
    lines = []
    names = short_capabilities(changes)
    if names:
        lines.append(f"capabilities: {{add: [{', '.join(names)}]}}")
    if wanted(changes, _K.SYSTEM_CALLS):
        lines.append("seccompProfile: {type: Unconfined}")
    if wanted(changes, _K.APPARMOR):
        lines.append("appArmorProfile: {type: Unconfined}")
    if wanted(changes, _K.PROC):
        lines.append("procMount: Unmasked")
    if wanted(changes, _K.NEW_PRIVILEGES):
        lines.append("allowPrivilegeEscalation: true")
    if wanted(changes, _K.ROOT_USER):
        lines += ["runAsNonRoot: false", "runAsUser: 0"]
    return lines
