"""Moving network interfaces into the container's network namespace.

A move takes an interface's addresses, so that they are read before and given back after it.

Source: runtime-spec 1.3, config-linux.md, "Network Devices".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nestbox.errors import LaunchError, reason
from nestbox.runtime.network.netlink import routes_of

if TYPE_CHECKING:
    from nestbox.oci.linux import LinuxNetDevice

_IFA_F_PERMANENT = 0x80  # linux/if_addr.h
_RT_SCOPE_UNIVERSE = 0  # linux/rtnetlink.h
_KEPT = ("IFA_ADDRESS", "IFA_LOCAL", "IFA_BROADCAST")
_TEMPLATE = "%d"  # the kernel puts the first free number there


def move_net_devices(devices: dict[str, LinuxNetDevice], namespace: int | str) -> None:
    """Move interfaces of our network namespace into another one, and set them up there.

    Args:
        devices: what to move, by its name here; their values have the name there.
        namespace: a descriptor or a path of the other one.

    Raises:
        LaunchError: an interface is not there, its new name is taken, or the kernel refused. Those
            that were moved already stay where they are: they are the namespace's now.
    """
    if not devices:
        return
    fd = namespace if isinstance(namespace, int) else _open(namespace)
    try:
        with routes_of(None) as here, routes_of(fd) as there:
            for name, device in devices.items():
                _move(name, device.name or name, here, there, fd)
    finally:
        if fd != namespace:
            os.close(fd)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LaunchError(
            f"cannot open the network namespace {path!r}",
            cause=reason(error),
            remedy="create the namespace before the container",
        ) from error


def _move(name: str, new_name: str, here: Any, there: Any, namespace: int) -> None:
    """Move one interface. The kernel takes it down for that by itself."""
    from pyroute2 import NetlinkError

    found = here.link_lookup(ifname=name)
    if not found:
        raise _refused(name, "there is no interface of this name", "create it before the container")
    if _TEMPLATE not in new_name and there.link_lookup(ifname=new_name):
        cause = f"the container's network namespace has an interface {new_name!r} (file exists)"
        raise _refused(name, cause, "give it another name, or a template that ends in %d")
    try:
        addresses = _addresses(here, found[0])
        before = set(_indexes(there))
        here.link("set", index=found[0], net_ns_fd=namespace, ifname=new_name)
        index = _index(there, new_name, before)
        for address in addresses:
            there.addr("add", index=index, **address)
        there.link("set", index=index, state="up")
    except NetlinkError as error:
        cause = os.strerror(error.code).lower()
        raise _refused(name, cause, "move it with `ip link set` to see what stops it") from error


def _indexes(routes: Any) -> list[int]:
    return [link["index"] for link in routes.get_links()]


def _index(routes: Any, name: str, before: set[int]) -> int:
    """Return the number of the interface that came; only a template leaves its name open."""
    if _TEMPLATE not in name:
        index: int = routes.link_lookup(ifname=name)[0]
        return index
    stem = name.partition(_TEMPLATE)[0]
    for link in routes.get_links():
        if link["index"] not in before and link.get_attr("IFLA_IFNAME").startswith(stem):
            return int(link["index"])
    raise _refused(name, "it went again at once", "see who manages that network namespace")


def _addresses(routes: Any, index: int) -> list[dict[str, Any]]:
    """Return the addresses that move: those that somebody set, and that are not of a link only."""
    return [
        {
            "family": address["family"],
            "prefixlen": address["prefixlen"],
            **{
                key.removeprefix("IFA_").lower(): address.get_attr(key)
                for key in _KEPT
                if address.get_attr(key) is not None
            },
        }
        for address in routes.get_addr(index=index)
        if address["scope"] == _RT_SCOPE_UNIVERSE
        and (address.get_attr("IFA_FLAGS") or address["flags"]) & _IFA_F_PERMANENT
    ]


def _refused(name: str, cause: str, remedy: str) -> LaunchError:
    return LaunchError(
        f"cannot move the network interface {name!r} into the container", cause=cause, remedy=remedy
    )
