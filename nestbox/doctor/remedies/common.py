"""What the layers have in common. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.policy.change import ChangeKind, values, wanted

if TYPE_CHECKING:
    from nestbox.policy.change import Change


def short_capabilities(changes: tuple[Change, ...]) -> tuple[str, ...]:
    """Return the names of the capabilities to add, without their prefix, as engines want them."""
    return tuple(name.removeprefix("CAP_") for name in values(changes, ChangeKind.CAPABILITY))


def security_options(changes: tuple[Change, ...]) -> list[str]:
    """Return docker's values of --security-opt."""
    options = []
    if wanted(changes, ChangeKind.SYSTEM_CALLS):
        options.append("seccomp=unconfined")
    if wanted(changes, ChangeKind.APPARMOR):
        options.append("apparmor=unconfined")
    if wanted(changes, ChangeKind.SELINUX):
        options.append("label=disable")
    if wanted(changes, ChangeKind.PROC):
        options.append("systempaths=unconfined")
    if wanted(changes, ChangeKind.CGROUP):
        options.append("writable-cgroups=true")
    if wanted(changes, ChangeKind.NEW_PRIVILEGES):
        options.append("no-new-privileges=false")
    return options
