"""Changes as keys of an LXC container. Pure. Source: lxc.container.conf(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.policy.change import ChangeKind, values, wanted

if TYPE_CHECKING:
    from nestbox.policy.change import Change

_K: Final = ChangeKind
KINDS: Final = frozenset(
    {
        _K.CAPABILITY, _K.SYSTEM_CALLS, _K.APPARMOR, _K.PROC, _K.CGROUP, _K.DEVICE,
        _K.NEW_PRIVILEGES,
    }
)  # fmt: skip


def configuration(changes: tuple[Change, ...]) -> str:
    """Return lines for the container's ``config``.

    LXC drops capabilities by name, so a capability comes back by an emptied list: the first line
    clears what the distribution's file drops.
    """
    lines = []
    names = values(changes, _K.CAPABILITY)
    if names:
        listed = " ".join(name.removeprefix("CAP_").lower() for name in names)
        lines += ["lxc.cap.drop =", f"# drops nothing; the least that is needed is: {listed}"]
    if wanted(changes, _K.SYSTEM_CALLS):
        lines.append("lxc.seccomp.profile =")
    if wanted(changes, _K.APPARMOR):
        lines.append("lxc.apparmor.profile = unconfined")
    elif wanted(changes, _K.PROC) or wanted(changes, _K.CGROUP):
        lines.append("lxc.apparmor.allow_nesting = 1")
    automatic = [
        text
        for kind, text in ((_K.PROC, "proc:rw sys:rw"), (_K.CGROUP, "cgroup:rw:force"))
        if wanted(changes, kind)
    ]
    if automatic:
        lines.append(f"lxc.mount.auto = {' '.join(automatic)}")
    for path in values(changes, _K.DEVICE):
        inside = path.removeprefix("/")
        lines.append(f"lxc.mount.entry = {path} {inside} none bind,create=file 0 0")
    if wanted(changes, _K.NEW_PRIVILEGES):
        lines.append("lxc.no_new_privs = 0")
    return "\n".join(lines)
