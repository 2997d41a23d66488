"""The resolved container: what `plan.compile` turns into steps. Every choice is already made.

Paths named ``target`` are absolute inside the container; paths named ``source`` are absolute in
the outer environment.
"""

from __future__ import annotations

import msgspec

from nestbox.oci.seccomp import LinuxSeccomp
from nestbox.outer.facts import CapabilitySets, IdMap, Limit


class OverlayLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One overlay of the root: a lower directory, and the path under the root it is mounted on.

    The first layer of a root has the target "/"; further ones are the mounts below the present
    root, in the order of their depth.
    """

    lower: str
    target: str
    attributes: tuple[str, ...] = ()  # that the outer mount has, so that none is lost


class RootSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the root is made: a bind of a directory, or overlays with a layer that is thrown away."""

    directory: str  # the directory that is bound, when there are no layers
    layers: tuple[OverlayLayer, ...] = ()
    upper: str | None = None  # directory for the upper layers; None puts them on a new tmpfs
    readonly: bool = False
    readonly_below: tuple[str, ...] = ()  # mounts that come along with the directory, inside it
    nodev: bool = (
        True  # devices in the root cannot be opened; those of /dev are mounts of their own
    )
    nosuid: bool = False
    user_namespace_options: bool = False  # overlay options "userxattr" of a user namespace


class MountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A new file system, or with ``fstype`` "bind" a part of the outer tree, at a target.

    ``attributes`` are names of mount attributes to set: "ro", "nosuid", "nodev", "noexec",
    "noatime", "relatime", "strictatime", "nosymfollow"; ``recursive`` applies to a bind and to its
    attributes. ``propagation`` is "private", "slave", "shared" or "unbindable".
    """

    fstype: str
    source: str
    target: str
    attributes: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()  # attributes that a bind must lose
    options: tuple[
        tuple[str, str], ...
    ] = ()  # of the file system; ("size", "64m"), ("newinstance", "")
    propagation: str = "private"
    recursive: bool = False
    optional: bool = (
        False  # a missing source is no failure: a read-only rung that has no place here
    )


class DeviceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One node under the container's /dev; bound from ``source`` unless made by mknod(2)."""

    target: str
    source: str | None  # None: mknod with the numbers below
    kind: str  # "c" or "b"
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


class CgroupSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One cgroup to create and put the container into, in one hierarchy.

    ``settings`` are (file, value) pairs, written in order before the container enters.
    """

    version: int
    parent: str  # directory of the outer cgroup, absolute
    settings: tuple[tuple[str, str], ...]
    optional: tuple[tuple[str, str], ...] = ()  # then these, where the kernel has the file (swap)
    enable: tuple[str, ...] = ()  # v2 controllers to enable in the parent's cgroup.subtree_control


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The container's first process."""

    argv: tuple[str, ...]
    candidates: tuple[str, ...]  # the paths at which argv[0] is tried, in order, inside the root
    environment: tuple[str, ...]
    working_directory: str
    uid: int
    gid: int
    groups: tuple[int, ...] | None  # None: they are kept, since setgroups(2) is not allowed
    umask: int = 0o022
    terminal: bool = False
    init: bool = False
    rlimits: tuple[tuple[str, Limit], ...] = ()
    oom_score_adj: int | None = None
    no_new_privs: bool = False


class LaunchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One container, complete: the same value always compiles to the same plan."""

    process: ProcessSpec
    capabilities: CapabilitySets  # before exec
    drop_bounding: int  # mask of the capabilities to drop; 0 when it already fits or is not allowed
    namespaces: tuple[str, ...]  # new ones: mnt pid ipc uts net cgroup user
    root: RootSpec
    mounts: tuple[MountSpec, ...]  # in order
    devices: tuple[DeviceSpec, ...]
    device_links: tuple[tuple[str, str], ...]  # (target, value): ("/dev/fd", "/proc/self/fd")
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    map_with_tools: bool = False  # by newuidmap and newgidmap, since we may not write the maps
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    hostname: str | None = None
    loopback: bool = False  # bring up lo in the new network namespace
    new_keyring: bool = False
    cgroups: tuple[CgroupSpec, ...] = ()
    seccomp: LinuxSeccomp | None = None
    files: tuple[
        tuple[str, str], ...
    ] = ()  # (target, text): /etc/hosts, /etc/hostname, resolv.conf
