"""Changes as a Talos machine configuration. Pure.

A node of Talos takes sysctls from its configuration; what a pod gets is the pod's own matter.
Source: Talos Linux, "Configuration reference", machine.sysctls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.policy.change import ChangeKind, values

if TYPE_CHECKING:
    from nestbox.policy.change import Change

KINDS: Final = frozenset({ChangeKind.SYSCTL})


def machine_configuration(changes: tuple[Change, ...]) -> str:
    """Return a patch for ``talosctl patch machineconfig``."""
    pairs = (value.partition("=") for value in values(changes, ChangeKind.SYSCTL))
    return "\n".join(
        ["machine:", "  sysctls:", *(f'    {name}: "{value}"' for name, _, value in pairs)]
    )
