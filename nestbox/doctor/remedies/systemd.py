"""Changes as a drop-in of a systemd unit. Pure.

Source: systemd.exec(5), systemd.resource-control(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.policy.change import ChangeKind, values, wanted

if TYPE_CHECKING:
    from nestbox.policy.change import Change

_K: Final = ChangeKind
KINDS: Final = frozenset(
    {
        _K.CAPABILITY, _K.SYSTEM_CALLS, _K.APPARMOR, _K.PROC, _K.CGROUP, _K.DEVICE, _K.ROOT_USER,
        _K.NEW_PRIVILEGES,
    }
)  # fmt: skip


def drop_in(changes: tuple[Change, ...]) -> str:
    """Return the lines that ``systemctl edit UNIT`` takes; settings that list are added to."""
    lines = ["[Service]"]
    names = values(changes, _K.CAPABILITY)
    if names:
        lines.append(f"CapabilityBoundingSet={' '.join(names)}")
        if not wanted(changes, _K.ROOT_USER):
            lines.append(f"AmbientCapabilities={' '.join(names)}")
    calls = " ".join(values(changes, _K.SYSTEM_CALLS)).split()
    if calls:
        lines.append(f"SystemCallFilter={' '.join(dict.fromkeys(calls))}")
    lines += [f"DeviceAllow={path} rw" for path in values(changes, _K.DEVICE)]
    for kind, settings in _SETTINGS.items():
        if wanted(changes, kind):
            lines += settings
    return "\n".join(lines)


_SETTINGS: Final = {
    _K.APPARMOR: ("AppArmorProfile=unconfined",),
    _K.PROC: ("ProtectKernelTunables=no", "ProtectProc=default", "ProcSubset=all"),
    _K.CGROUP: ("Delegate=yes", "ProtectControlGroups=no"),
    _K.DEVICE: ("PrivateDevices=no",),
    _K.NEW_PRIVILEGES: ("NoNewPrivileges=no",),
    _K.ROOT_USER: ("User=root",),
}
