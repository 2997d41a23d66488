"""What is known about the outer environment. Values only: nothing here reads it, judges or chooses.

An ``OuterEnvironment`` is a set of subjects. A subject that is None was not observed: a launch
observes only the subjects that its decisions need, ``doctor`` and a recording observe all of them.
A field that is None inside an observed subject means that the kernel does not have the thing or
does not show it. Sets of capabilities are bit masks (bit 21 is CAP_SYS_ADMIN).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

FORMAT = 1  # of the JSON recording; raised when a field changes its meaning


class Subject(StrEnum):
    """The parts of an OuterEnvironment, named as its fields; each is observed as a whole."""

    KERNEL = "kernel"
    CAPABILITIES = "capabilities"
    ANCESTRY = "ancestry"
    IDENTITY = "identity"
    USER_NAMESPACE = "user_namespace"
    NAMESPACES = "namespaces"
    CGROUP = "cgroup"
    SECCOMP = "seccomp"
    LSM = "lsm"
    MOUNTS = "mounts"
    STORAGE = "storage"
    DEVICES = "devices"
    SYSCTLS = "sysctls"
    LIMITS = "limits"
    TOOLS = "tools"
    ENGINE = "engine"
    NETWORK = "network"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of trying something in a throwaway child.

    ``error`` is the name of the errno (``"EPERM"``), ``"KILLED"`` when the child died by a signal
    (a seccomp filter that kills), ``"TIMEOUT"``, or None when the trial succeeded.
    """

    error: str | None

    @property
    def works(self) -> bool:
        """Whether the trial succeeded."""
        return self.error is None


class Kernel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which kernel runs, from uname(2) and /proc/sys/kernel/random/boot_id."""

    release: str
    version: tuple[int, int]  # (major, minor)
    machine: str  # as uname -m
    boot_id: str
    namespaces: tuple[str, ...] = ()  # that /proc/self/ns shows; empty: not looked at
    file_systems: tuple[str, ...] = ()  # that /proc/filesystems shows; empty: not looked at


class CapabilitySets(msgspec.Struct, frozen=True, kw_only=True):
    """The five sets of one thread, as bit masks. Source: capabilities(7)."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rights of this thread, on which /proc and the kernel's own answers agreed."""

    sets: CapabilitySets
    last: int  # the highest capability that this kernel knows
    securebits: int  # PR_GET_SECUREBITS
    no_new_privs: bool
    filtered: bool = False  # a seccomp filter is on this thread


class Ancestor(msgspec.Struct, frozen=True, kw_only=True):
    """One process between this one and PID 1 of the visible pid namespace."""

    pid: int
    name: str  # comm, at most 15 bytes
    sets: CapabilitySets
    no_new_privs: bool
    seccomp_mode: int  # 0 none, 1 strict, 2 filter
    user_namespace: int | None  # inode of /proc/PID/ns/user; None when it may not be read


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The ids of this process and what PID 1 of its pid namespace can tell."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    pid: int
    umask: int


class IdMap(msgspec.Struct, frozen=True, kw_only=True):
    """One row of uid_map or gid_map. Source: user_namespaces(7)."""

    inside: int
    outside: int
    count: int


class UserNamespace(msgspec.Struct, frozen=True, kw_only=True):
    """The user namespace that this process is in."""

    inode: int
    initial: bool  # the inode is PROC_USER_INIT_INO (0xEFFFFFFD)
    depth: int | None  # how many user namespaces are above it that NS_GET_PARENT shows; 0 at least
    owner_uid: int | None  # NS_GET_OWNER_UID
    uid_map: tuple[IdMap, ...]
    gid_map: tuple[IdMap, ...]
    setgroups_denied: bool


class Namespaces(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which namespaces a child can create, by trial, and the inodes of our own.

    The keys are the names of /proc/self/ns: mnt, pid, ipc, uts, net, cgroup, time, user.
    ``create`` is tried with the rights that we have; ``create_with_user`` together with a new user
    namespace, as an unprivileged user would have to. ``user_steps`` are those from making one to
    using a right over it, as far as they work: make, setgroups, uid_map, gid_map (our own ids as
    0), rights, mount.
    """

    own: dict[str, int]
    create: dict[str, Trial]
    create_with_user: dict[str, Trial]
    # Which of the kernel's file systems can be mounted in such namespaces: proc, sysfs, mqueue,
    # devpts, and "sysfs ro" where sysfs can not. Empty: not tried.
    mount: dict[str, Trial] = {}
    mount_with_user: dict[str, Trial] = {}
    user_steps: dict[str, Trial] = {}
    chrooted: bool = False  # our root is seen not to be that of the mount namespace


class CgroupMode(StrEnum):
    """How the cgroup file systems are mounted here."""

    NONE = "none"
    V1 = "v1"
    HYBRID = "hybrid"  # v1 controllers, and a v2 hierarchy without controllers or with some
    V2 = "v2"


class CgroupRoom(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many cgroups more fit below one. Source: cgroup-v2.rst, "cgroup.max.descendants"."""

    count: int | None = None  # None: no limit is in sight
    file: str = ""  # the one whose limit it is


NO_LIMIT = CgroupRoom()


class CgroupAbove(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cgroup of v2 above our own, in which one could be made beside ours."""

    directory: str
    controllers: tuple[str, ...]  # cgroup.controllers
    enabled: tuple[str, ...]  # cgroup.subtree_control
    writable: bool  # as that of our own
    takes_controllers: bool  # it has no processes, or is the root of the hierarchy
    room: CgroupRoom = NO_LIMIT


class CgroupHierarchy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mounted cgroup hierarchy and our own place in it. Source: cgroups(7)."""

    version: int  # 1 or 2
    controllers: tuple[str, ...]  # v2: cgroup.controllers of our own cgroup; v1: may have name=X
    mountpoint: str  # where it is mounted, as we see it
    path: str  # our own cgroup, from /proc/self/cgroup
    directory: str | None  # the directory of our own cgroup; None when it is not visible
    writable: bool  # mount is rw and a child cgroup could be made, by access(2)
    enabled: tuple[str, ...]  # v2: cgroup.subtree_control; v1: the same as controllers
    processes: int | None  # how many processes are in our own cgroup (v2 forbids inner ones)
    above: tuple[CgroupAbove, ...] = ()  # v2: nearest first, as far as one that has every limit
    kind: str | None = None  # v2: cgroup.type of our own cgroup; empty at the hierarchy's root
    unseen: int = 0  # v2: of the processes, those outside of our pid namespace: not ours to move
    owner: int | None = None  # v2: the uid that our own cgroup belongs to
    delegated: bool = False  # v2: who manages it marked it as ours to divide (user.delegate)
    managed: bool = False  # v2: a systemd divides it
    closed: tuple[str, ...] = ()  # v2: of the files that a delegate writes, those that we cannot
    room: CgroupRoom = NO_LIMIT  # v2: below our own cgroup


class CgroupManager(msgspec.Struct, frozen=True, kw_only=True):
    """The user's own systemd, which makes cgroups for who asks over its bus."""

    directory: str  # its cgroup, which the machine's systemd delegated to it
    controllers: tuple[str, ...]  # cgroup.controllers


class Cgroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cgroup hierarchies that are mounted here."""

    mode: CgroupMode
    hierarchies: tuple[CgroupHierarchy, ...]
    first_namespace: bool | None = None  # whether we are in the cgroup namespace of the boot
    manager: CgroupManager | None = None  # v2


class Seccomp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The filter on this process, and how it answers the system calls that a launch needs.

    A trial calls with arguments that cannot succeed, so that any other errno than ENOSYS and EPERM
    shows that the kernel itself was reached: then ``error`` is None.
    """

    mode: int  # 0 none, 1 strict, 2 filter
    filters: int | None  # Seccomp_filters of /proc/self/status, since Linux 5.9
    syscalls: dict[str, Trial]
    fallbacks: dict[str, Trial] = {}  # calls that libraries fall back from, and no launch needs


class Lsm(msgspec.Struct, frozen=True, kw_only=True):
    """Linux security modules: which are active, and our own label."""

    active: tuple[str, ...]  # /sys/kernel/security/lsm, else what can be inferred
    label: str | None  # /proc/thread-self/attr/current, without its closing newline or NUL
    apparmor_mode: str | None  # enforce, complain, unconfined


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One line of /proc/thread-self/mountinfo. Source: proc_pid_mountinfo(5)."""

    id: int
    parent: int
    device: str  # "major:minor"
    root: str
    target: str  # unescaped
    options: tuple[str, ...]  # of the mount
    propagation: tuple[str, ...]  # "shared:1", "master:2", …
    fstype: str
    source: str
    super_options: tuple[str, ...]  # of the super block
    kind: str | None = None  # of the target: directory, file, socket, other; None: not looked at


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """What a root file system can be made from, by trial.

    ``overlay`` is an overlay over / with its upper layer in the state directory, ``overlay_tmpfs``
    one with its upper layer on a tmpfs, ``overlay_user`` one made in a new user namespace. There,
    the kernel refuses a lower layer with mounts below it, as it would show what they cover; so two
    more are the same on a directory without mounts below it. Overlays over a tmpfs (``bare``) tell
    whether the kernel makes any, and ``full`` the mounts over which it makes none: they are
    overlays over overlays. ``overlay_user_state`` is one in a new user namespace with its upper
    layer in the state directory, ``reflink`` a file of / that shares its blocks with one there.
    """

    root_fstype: str
    state_directory: str
    state_fstype: str
    overlay: Trial
    overlay_tmpfs: Trial
    overlay_user: Trial
    overlay_tmpfs_directory: Trial | None = None
    overlay_user_directory: Trial | None = None
    bare: Trial | None = None
    bare_user: Trial | None = None
    full: tuple[str, ...] = ()  # targets
    full_user: tuple[str, ...] = ()
    overlay_user_state: Trial | None = None
    reflink: Trial | None = None
    free_bytes: int | None = None  # of the file system of the state directory


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the outer /dev: what it is, and whether open(2) is allowed."""

    kind: str  # "c" or "b"
    major: int
    minor: int
    mode: int  # permission bits
    uid: int
    gid: int
    opens: Trial  # opened O_RDWR (or O_RDONLY for a block device) with O_NONBLOCK


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes that a container may want, by path, and whether mknod(2) makes usable ones."""

    nodes: dict[str, Device]
    mknod: Trial


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One resource limit; None is RLIM_INFINITY. Source: getrlimit(2)."""

    soft: int | None
    hard: int | None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Resource limits by name (``RLIMIT_NOFILE``), and the machine's totals."""

    rlimits: dict[str, Limit]
    oom_score_adj: int
    # Down to which a launch may set it without CAP_SYS_RESOURCE, by trial; None: not below our own.
    oom_score_floor: int | None = None
    cpus: int  # usable by this process, from sched_getaffinity(2)
    memory_total_bytes: int


class SubordinateIds(msgspec.Struct, frozen=True, kw_only=True):
    """One range of /etc/subuid or /etc/subgid that belongs to our user."""

    first: int
    count: int


class MapTool(msgspec.Struct, frozen=True, kw_only=True):
    """What gives newuidmap or newgidmap its rights, and what can take them away."""

    setuid: int | None  # the owner, when the set-user-ID bit is set
    file_permitted: int  # security.capability: the permitted mask; 0 without the attribute
    nosuid: bool  # the mount that it lies on ignores both


class Tools(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Programs of the outer environment that a launch may call; None when not found on PATH."""

    newuidmap: str | None
    newgidmap: str | None
    fuse_overlayfs: str | None
    pasta: str | None
    slirp4netns: str | None
    subuid: tuple[SubordinateIds, ...]
    subgid: tuple[SubordinateIds, ...]
    newuidmap_rights: MapTool | None = None  # None: not looked at, or not found
    newgidmap_rights: MapTool | None = None
    subordinate_notes: tuple[str, ...] = ()  # why a source of ranges was not, or not all, used
    subordinate_shared: tuple[str, ...] = ()  # that another owner has ids of our ranges too
    account: bool = True  # our uid has a name, which newuidmap asks for


class EngineKind(StrEnum):
    """Who made the environment that we run in."""

    NONE = "none"  # nothing found: a host or a plain virtual machine
    DOCKER = "docker"
    PODMAN = "podman"
    CONTAINERD = "containerd"
    KUBERNETES = "kubernetes"
    LXC = "lxc"
    NSPAWN = "systemd-nspawn"
    GVISOR = "gvisor"
    FIRECRACKER = "firecracker"
    WSL = "wsl"
    TALOS = "talos"
    NESTBOX = "nestbox"
    UNKNOWN = "unknown"  # a container, by its namespaces or masks, of a maker that was not found


class EngineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says over its socket that it was told about our container."""

    socket: str
    privileged: bool
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    security_opt: tuple[str, ...]
    devices: tuple[str, ...]  # paths in the container
    masked: int  # how many paths
    userns: str
    cgroupns: str
    network: str
    pid: str
    read_only: bool


class Engine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The engine around us, and what shows it (innermost first when several)."""

    kind: EngineKind
    evidence: tuple[str, ...]  # "file:line or path: what was seen"
    runner: str | None  # "gitlab", "github", … when the environment shows a CI runner
    answer: EngineAnswer | None = None  # None: not asked, or nobody knows our container
    sockets: tuple[str, ...] = ()  # "path: what it answered"; asked by doctor alone


class Resolver(msgspec.Struct, frozen=True, kw_only=True):
    """What a resolv.conf says. Source: resolv.conf(5)."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """What a network of the container's own could be made with.

    The programs are looked for where the system keeps its own, never on PATH.
    """

    owned: bool  # our network namespace belongs to our user namespace or to one in it
    nft: str | None  # paths of programs
    pasta: str | None
    slirp4netns: str | None
    # Checking a table as a container needs, and making a link in a new network namespace; None: no
    # nft, or no right.
    nftables: Trial | None
    veth: Trial | None = None
    forwarding: bool  # net.ipv4.ip_forward
    forwarding_writable: bool
    # nftables' chains that drop what is forwarded, unless their table lets our interfaces pass.
    forward_drops: tuple[str, ...] = ()
    first_free_port: int = 1024  # net.ipv4.ip_unprivileged_port_start
    resolver: Resolver = Resolver()
    # Where resolver is a stub on a loopback address: what the stub asks, as far as it is told.
    upstream: Resolver = Resolver()


class OuterEnvironment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observation of what surrounds nestbox; complete, it resolves any request offline."""

    format: int = FORMAT
    kernel: Kernel | None = None
    capabilities: Capabilities | None = None
    ancestry: tuple[Ancestor, ...] | None = None  # from our parent to PID 1
    identity: Identity | None = None
    user_namespace: UserNamespace | None = None
    namespaces: Namespaces | None = None
    cgroup: Cgroup | None = None
    seccomp: Seccomp | None = None
    lsm: Lsm | None = None
    mounts: tuple[Mount, ...] | None = None
    storage: Storage | None = None
    devices: Devices | None = None
    sysctls: dict[str, str | None] | None = None
    limits: Limits | None = None
    tools: Tools | None = None
    engine: Engine | None = None
    network: Network | None = None


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """The file that the container's command names, found inside the root before the launch."""

    path: str  # inside the root
    setuid: int | None  # the owner, when the set-user-ID bit is set
    file_permitted: int  # security.capability: the permitted mask; 0 without the attribute
    file_inheritable: int
    file_effective: bool  # the effective bit: an exec that cannot give all of permitted fails
    setgid: int | None = None  # the group, when the set-group-ID bit is set: it clears ambient too
    has_file_capabilities: bool = False  # the attribute exists, be it empty: it clears ambient too


class TreeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One name in a directory of a root: what it is, and how large."""

    name: str
    kind: str  # directory, file, link, other
    size: int | None = None  # bytes, of a directory all below it; None: more than was counted


class TreeDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """A directory of a root, as far as a root that is made of parts has to know it."""

    path: str  # inside the root
    entries: tuple[TreeEntry, ...] | None  # None: it may not be read


class RootFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a launch needs to know of the root file system that it was given."""

    directory: str  # real path of the root, "/" for the present one
    passwd: str | None  # text of /etc/passwd inside it; None when there is none
    group: str | None
    program: Program | None  # None when it was not found: the exec itself will tell
    # The directories that a root of parts is made of, outer ones first; only where it is needed.
    tree: tuple[TreeDirectory, ...] = ()
    size: int | None = None  # bytes of all files on the root's own mount; None: not counted
