"""The files of /etc that say who and where the container is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.request import RootKind

if TYPE_CHECKING:
    from nestbox.outer.facts import RootFacts
    from nestbox.policy.network import NetworkChoice
    from nestbox.policy.request import RunRequest

_RESOLV_CONF: Final = "/etc/resolv.conf"

Files = tuple[tuple[str, str], ...]


def network_files(
    request: RunRequest, root: RootFacts, hostname: str, network: NetworkChoice
) -> tuple[Files, tuple[MountSpec, ...]]:
    """Return the files, and what is bound in place of one.

    The present root has its own, and a directory without passwd and group has no need of them; but
    with a way out of its own a container finds its name servers. With the outer network its
    resolver's configuration is the outer one.
    """
    taken = {mount.target for mount in request.mounts}
    files, mounts = _of_root(request, root, hostname, network)
    if network.resolver is not None:
        files = (*files, (_RESOLV_CONF, network.resolver))
    return (
        tuple(file for file in files if file[0] not in taken),
        tuple(mount for mount in mounts if mount.target not in taken),
    )


def _of_root(
    request: RunRequest, root: RootFacts, hostname: str, network: NetworkChoice
) -> tuple[Files, tuple[MountSpec, ...]]:
    if request.root.kind is RootKind.HOST or (root.passwd is None and root.group is None):
        return (), ()
    name = ("/etc/hostname", f"{hostname}\n")
    if not network.own:
        return (name,), tuple(_bound(path) for path in ("/etc/hosts", _RESOLV_CONF))
    hosts = (
        f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n"
    )
    return (name, ("/etc/hosts", hosts)), ()


def _bound(path: str) -> MountSpec:
    return MountSpec(
        fstype="bind",
        source=path,
        target=path,
        attributes=("ro", "nosuid", "nodev", "noexec"),
        optional=True,
    )
