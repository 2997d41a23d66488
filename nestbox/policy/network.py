"""The container's network: its own namespace with loopback alone, or the outer one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.request import RootKind
from nestbox.policy.subjects import holds
from nestbox.policy.wish import by_flag, by_nestbox, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment, RootFacts
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest


class NetworkChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the container has a network namespace, and whether its lo is brought up."""

    own: bool
    loopback: bool
    decisions: tuple[Decision, ...]


def decide_network(
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    *,
    new_user_namespace: bool,
) -> NetworkChoice:
    """Return the network of the container; ``none`` still has a loopback interface."""
    if request.network is not None:
        wish = by_flag("network", request.network, f"--network {request.network}")
    else:
        wish = by_profile("network", profile.network.want, profile.name, profile.network.policy)
    if wish.request == "host":
        return NetworkChoice(
            own=False, loopback=False, decisions=(wish.granted("shares the outer network"),)
        )
    granted = wish.granted("own network namespace, loopback only")
    # In a user namespace of its own the executor has every capability over the new network.
    if new_user_namespace or holds(environment, "CAP_NET_ADMIN"):
        return NetworkChoice(own=True, loopback=True, decisions=(granted,))
    down = by_nestbox("network.loopback", "up").short(
        "lo stays down",
        cause="CAP_NET_ADMIN is not in the outer effective set",
        remedy="give the outer environment CAP_NET_ADMIN, or use --network host",
    )
    return NetworkChoice(own=True, loopback=False, decisions=(granted, down))


def network_files(
    request: RunRequest, root: RootFacts, hostname: str, *, own: bool
) -> tuple[tuple[tuple[str, str], ...], tuple[MountSpec, ...]]:
    """Return the files of /etc that say who and where the container is, for a root of its own.

    The present root has its own files, and a directory without passwd and group has no need of
    them. With the outer network its resolver's configuration is the outer one.
    """
    if request.root.kind is RootKind.HOST or (root.passwd is None and root.group is None):
        return (), ()
    taken = {mount.target for mount in request.mounts}
    hosts = (
        f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n"
    )
    files = (("/etc/hostname", f"{hostname}\n"), ("/etc/hosts", hosts))
    if own:
        return tuple(file for file in files if file[0] not in taken), ()
    outer = tuple(
        MountSpec(
            fstype="bind",
            source=path,
            target=path,
            attributes=("ro", "nosuid", "nodev", "noexec"),
            optional=True,
        )
        for path in ("/etc/hosts", "/etc/resolv.conf")
        if path not in taken
    )
    return (() if files[0][0] in taken else files[:1]), outer
