"""The resolved container: what `plan.compile` turns into steps. Every choice is already made.

Paths named ``target`` are absolute inside the container; paths named ``source`` are absolute in
the outer environment.
"""

from __future__ import annotations

import msgspec

from nestbox.oci.seccomp import LinuxSeccomp
from nestbox.outer.facts import CapabilitySets, IdMap, Limit


class JoinSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A namespace that exists already and is entered: its name and the file that stands for it."""

    namespace: str  # mnt pid ipc uts net cgroup user time
    path: str


class OverlayLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One overlay of the root: a lower directory, and the path under the root it is mounted on.

    The first layer of a root has the target "/"; further ones are the mounts below the present
    root, in the order of their depth.
    """

    lower: str
    target: str
    attributes: tuple[str, ...] = ()  # that the outer mount has, so that none is lost


class CopySpec(msgspec.Struct, frozen=True, kw_only=True):
    """A directory of the outer tree that is copied to a path of the root, or its files alone."""

    source: str
    target: str
    shallow: bool = False
    plain: bool = False  # without set-id bits and file capabilities: it lay on a nosuid mount
    limit: int = 0  # bytes of a file above which it is left out; 0: none


class FuseSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The program that shows the root as an overlay, and how."""

    program: str  # fuse-overlayfs, absolute
    user_namespace: bool  # it has to be in the container's, whose ids it tells
    all_roots: bool = False  # every file is root's, as other owners have no id in the container


class IdMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Of an id-mapped mount: the maps of the user namespace that it is mapped by.

    Without rows it is the container's own user namespace. Source: mount_setattr(2),
    MOUNT_ATTR_IDMAP.
    """

    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    recursive: bool = False


class MountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A new file system, or with ``fstype`` "bind" a part of the outer tree, at a target.

    With ``fstype`` "remount" it changes the mount that is at the target already; with "link" it
    is no mount but a symbolic link to ``source``.

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
    # These apply to the mount and to all below it (the options rro, rnosuid, ...).
    attributes_below: tuple[str, ...] = ()
    cleared_below: tuple[str, ...] = ()
    recursive_propagation: bool = False
    # Whether `attributes` and `cleared` of a recursive bind reach what comes along with it; the
    # options of a config.json are of its top alone (ro, beside rro).
    recursive_attributes: bool = True
    id_mapping: IdMapping | None = None
    copy_up: bool = False  # of a tmpfs: what is at the target is copied into it (tmpcopyup)
    on_proc: bool = False  # the target may lie on a proc file system
    follow_links: bool = False  # the target may lie behind links, also where /proc and others lie
    # The source of a bind is a path inside the root, with what is mounted there by then.
    from_root: bool = False
    # The runtime opens it in the outer environment and hands it over: what a user namespace
    # cannot reach by itself.
    handed_over: bool = False
    # A bind of a new directory that the runtime makes; the source is its name until then.
    new_directory: bool = False
    label: str = ""  # SELinux context of the new file system
    mode: int | None = None  # of a directory that is made as the target; None: 0755
    inherit_mode: bool = False  # of a tmpfs: its root has the mode of the directory it covers
    optional: bool = (
        False  # a missing source is no failure: a read-only rung that has no place here
    )


class RootSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the root is made: a bind of a directory, or overlays with a layer that is thrown away."""

    directory: str  # the directory that is bound, when there are no layers
    layers: tuple[OverlayLayer, ...] = ()
    upper: str | None = None  # directory for the upper layers; None puts them on a new tmpfs
    # What the root itself is: "" (the directory, or its first layer), "tmpfs" or, in the directory
    # for upper layers, "copy" (both filled by ``copies``), "fuse" (fuse-overlayfs).
    base: str = ""
    copies: tuple[CopySpec, ...] = ()
    binds: tuple[MountSpec, ...] = ()  # beside the layers, where no layer can be made
    fuse: FuseSpec | None = None
    readonly: bool = False
    # Of the mounts of the launch before anything is mounted, and of the root at the end.
    outer_propagation: str = "slave"
    propagation: str = ""
    readonly_below: tuple[str, ...] = ()  # mounts that come along with the directory, inside it
    nodev: bool = (
        True  # devices in the root cannot be opened; those of /dev are mounts of their own
    )
    nosuid: bool = False
    executable: bool = False  # programs of a directory can be executed that is on a noexec mount
    lenient: bool = False  # a copy is made without what may not be read
    user_namespace_options: bool = False  # overlay options "userxattr" of a user namespace
    entry: str = "pivot"  # "pivot", "move" (--no-pivot: MS_MOVE and chroot) or "chroot" (no mnt ns)
    # With "move": mounts of a whole proc or sysfs outside the root, which must not stay in reach.
    uncovered: tuple[str, ...] = ()


class DeviceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the container; bound from ``source`` unless made by mknod(2).

    One that is ``lent`` is made where the container cannot reach, and bound from there.
    """

    target: str
    source: str | None  # None: mknod with the numbers below
    kind: str  # "c", "b" or "p" (a fifo, which has no numbers)
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    lent: bool = False


class CgroupSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One cgroup to create and put the container into, in one hierarchy.

    ``settings`` are (file, value) pairs, written in order before the container enters.
    """

    version: int
    parent: str  # directory of the outer cgroup, absolute
    settings: tuple[tuple[str, str], ...]
    optional: tuple[tuple[str, str], ...] = ()  # then these, where the kernel has the file (swap)
    enable: tuple[str, ...] = ()  # v2 controllers to enable in the parent's cgroup.subtree_control
    fill: bool = False  # v1 cpuset: it gets what its parent has, since it begins empty
    # v2: the container's processes go to a leaf of it, so that it can divide what it has.
    divide: bool = False
    nest: bool = False  # v2: the processes of the parent go to a leaf of it first
    scope: bool = False  # v2: the user's systemd makes it, when there is a process for it


class SchedulerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """struct sched_attr of sched_setattr(2); times in nanoseconds."""

    policy: int
    flags: int = 0
    nice: int = 0
    priority: int = 0
    runtime: int = 0
    deadline: int = 0
    period: int = 0


class MemoryPolicySpec(msgspec.Struct, frozen=True, kw_only=True):
    """Of set_mempolicy(2): the mode with its flags, and the nodes."""

    mode: int
    nodes: tuple[int, ...]


class HookSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run at a point of the life of a container, with its state on stdin.

    Source: runtime-spec config.md, "POSIX-platform Hooks".
    """

    path: str
    argv: tuple[str, ...]  # with the name in front; never empty
    environment: tuple[str, ...]
    timeout_seconds: int | None = None


class PortSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the outer environment that leads to one of the container."""

    protocol: str  # "tcp" or "udp"
    address: str  # of the outer environment; "" for all of them
    outer: int  # 0: any that is free
    inner: int


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the runtime connects the container's network while the executor waits."""

    rung: str  # "veth", "pasta" or "slirp4netns"
    program: str  # nft for veth; else the one of the rung's name
    ports: tuple[PortSpec, ...] = ()
    turn_on_forwarding: bool = False  # net.ipv4.ip_forward of the outer network
    from_loopback: bool = False  # of veth: the ports are those of 127.0.0.1 too
    resolver: str = ""  # of pasta: the address that stands for the outer resolver


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
    console_size: tuple[int, int] | None = None  # rows, columns
    own_streams: bool = False  # the standard streams are given to the user
    preserved: int = 0  # descriptors from 3 on that the program gets
    scheduler: SchedulerSpec | None = None
    io_priority: int | None = None  # of ioprio_set(2)
    affinity: tuple[int, ...] | None = None  # processors; empty: all of the cgroup; None: as is
    memory_policy: MemoryPolicySpec | None = None
    personality: int | None = None  # of personality(2)
    apparmor: str = ""
    selinux: str = ""


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
    # Below which the container gets a directory of its own, that ends with it, for new volumes.
    volumes: str | None = None
    # Remounts at the end, before the root becomes read-only: until then targets are made in them.
    final_mounts: tuple[MountSpec, ...] = ()
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    map_with_tools: bool = False  # by newuidmap and newgidmap, since we may not write the maps
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    hostname: str | None = None
    domainname: str | None = None
    loopback: bool = False  # bring up lo in the new network namespace
    network: NetworkSpec | None = None
    joined: tuple[JoinSpec, ...] = ()
    time_offsets: tuple[tuple[str, int, int], ...] = ()  # clock, seconds, nanoseconds
    # Run by the executor: before the root is entered, and after `start` in the root.
    create_hooks: tuple[HookSpec, ...] = ()
    start_hooks: tuple[HookSpec, ...] = ()
    # Run by the runtime while the executor waits, in the runtime's namespaces.
    runtime_hooks: bool = False
    network_devices: bool = False  # the runtime moves devices in while the executor waits
    own_proc: bool = False  # LSM labels, sysctls and scores are written through a proc of its own
    wait_for_start: bool = False
    new_keyring: bool = False
    cgroups: tuple[CgroupSpec, ...] = ()
    seccomp: LinuxSeccomp | None = None
    seccomp_shim: tuple[str, ...] = ()  # answered with ENOSYS before that filter is asked
    plain_clone: bool = False  # clone(2) starts the executor, as clone3(2) is filtered
    old_mounts: bool = False  # mount(2) changes mounts: there is no mount_setattr(2) yet
    files: tuple[
        tuple[str, str], ...
    ] = ()  # (target, text): /etc/hosts, /etc/hostname, resolv.conf


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One more process in a container that runs.

    ``joined`` are the container's namespaces; the maps are those of its user namespace, if that is
    among them and they are known. ``root`` is its root where no mount namespace among them has it.
    """

    process: ProcessSpec
    capabilities: CapabilitySets
    drop_bounding: int
    joined: tuple[JoinSpec, ...]
    root: str = ""
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    new_keyring: bool = False
    own_proc: bool = False  # as in LaunchSpec; else labels go through the container's /proc
    seccomp: LinuxSeccomp | None = None
    plain_clone: bool = False
