"""The closed set of things the executor can do. Values only; the order is `plan.order`'s.

Each class stands for one operation of ``executor/plan.h``. ``slot`` numbers name descriptors that
one step leaves for another; the constants are compared with the header by a test.
"""

from __future__ import annotations

import msgspec

SLOT_ROOT = 0
SLOT_SCRATCH = 1
SLOT_PROC = 2
SLOT_DEV = 3
SLOT_PTS = 4
SLOT_NEW = 5
SLOT_UPPER = 6
SLOT_NULL = 7
SLOT_SYS = 8
SLOT_OWN_PROC = 9
SLOT_MNT_NS = 10
SLOT_PID_NS = 11
SLOT_IPC_NS = 12
SLOT_UTS_NS = 13
SLOT_NET_NS = 14
SLOT_CGROUP_NS = 15
SLOT_TIME_NS = 16
SLOT_USER_NS = 17
SLOT_NONE = 255
SLOT_NAMES = (
    *("root", "scratch", "proc", "dev", "pts", "new", "upper", "null", "sys", "own_proc"),
    *("mnt_ns", "pid_ns", "ipc_ns", "uts_ns", "net_ns", "cgroup_ns", "time_ns", "user_ns"),
)
NAMESPACE_SLOTS = {
    name.removesuffix("_ns"): number
    for number, name in enumerate(SLOT_NAMES)
    if name.endswith("_ns")
}
# Mounts of the container's own that paths are resolved below, and where they are attached.
SLOT_PLACES = {SLOT_PROC: "/proc", SLOT_DEV: "/dev", SLOT_SYS: "/sys"}

TARGET_NO_SYMLINKS = 1
TARGET_MAKE = 2
TARGET_ON_PROC = 4
TARGET_OPTIONAL = 8

CHDIR_NOW = 0
CHDIR_IF_ALLOWED = 1
CHDIR_POSTPONED = 2

# What the runtime does while the executor waits: the reasons of Sync.
SYNC_ID_MAPS = "id maps"
SYNC_CGROUP = "cgroup"
SYNC_LEAF = "leaf of the cgroup"
SYNC_TERMINAL = "terminal size"
SYNC_FUSE = "root by FUSE"  # of the step MountFuse
SYNC_NETWORK_DEVICES = "network devices"
# First while the namespace can be opened by its owner, then where it has to be connected.
SYNC_NETWORK_NAMESPACE = "network namespace"
SYNC_NETWORK = "network"
# Its answer brings the state of the container for the createContainer hooks that follow.
SYNC_RUNTIME_HOOKS = "runtime hooks"


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """The base of every step."""


class Sync(Step, frozen=True, kw_only=True):
    """Tell the runtime and wait for it; ``reason`` says for what."""

    reason: str


class Receive(Step, frozen=True, kw_only=True):
    """Tell the runtime and wait for a descriptor from it; ``what`` says what for."""

    slot: int
    what: str


class Lend(Step, frozen=True, kw_only=True):
    """Lend the runtime a mount that nobody can see yet, and wait until it has changed it."""

    slot: int
    what: str


class WaitForStart(Step, frozen=True, kw_only=True):
    """Tell that the container is created, and wait until somebody starts it."""


class Hook(Step, frozen=True, kw_only=True):
    """Run a program of the configuration with the container's state; its failure is ours.

    Source: runtime-spec config.md, "POSIX-platform Hooks".
    """

    kind: str  # createContainer or startContainer
    path: str
    argv: tuple[str, ...]
    environment: tuple[str, ...]
    timeout_seconds: int | None = None


class ParentDeath(Step, frozen=True, kw_only=True):
    """Get this signal when the thread that started the executor dies. Source: PR_SET_PDEATHSIG."""

    signal: int


class Dumpable(Step, frozen=True, kw_only=True):
    """Close /proc/PID of the executor to others (CVE-2016-9962). Source: PR_SET_DUMPABLE."""

    value: int


class Keyring(Step, frozen=True, kw_only=True):
    """Join a new session keyring, which has no name by which another one could be joined.

    Source: keyctl(2), KEYCTL_JOIN_SESSION_KEYRING.
    """


class Unshare(Step, frozen=True, kw_only=True):
    """Move into new namespaces of these names. Source: unshare(2)."""

    namespaces: tuple[str, ...]


class OpenNamespace(Step, frozen=True, kw_only=True):
    """Open the file of a namespace that will be joined; it must be of this kind."""

    namespace: str
    path: str


class JoinNamespaces(Step, frozen=True, kw_only=True):
    """Enter every namespace that is open. Source: setns(2)."""


class TimeOffsets(Step, frozen=True, kw_only=True):
    """Shift the clocks of the new time namespace. Source: time_namespaces(7)."""

    offsets: tuple[tuple[str, int, int], ...]  # clock, seconds, nanoseconds


class Fork(Step, frozen=True, kw_only=True):
    """Go on as a child, which is how a pid or time namespace is entered; our parent is its one."""


class Domainname(Step, frozen=True, kw_only=True):
    """Set the NIS domain name of the uts namespace."""

    name: str


class Hostname(Step, frozen=True, kw_only=True):
    """Set the host name of the new uts namespace."""

    name: str


class Loopback(Step, frozen=True, kw_only=True):
    """Bring up ``lo`` in the new network namespace."""


class Session(Step, frozen=True, kw_only=True):
    """Become a session leader without a terminal (CVE-2017-5226)."""


class Umask(Step, frozen=True, kw_only=True):
    """Set the file mode creation mask."""

    mask: int


class Rlimit(Step, frozen=True, kw_only=True):
    """Set one resource limit; None is RLIM_INFINITY."""

    name: str
    soft: int | None
    hard: int | None


class ProcWrite(Step, frozen=True, kw_only=True):
    """Write a value to a file below a proc mount that is open."""

    path: str
    value: str
    base: int = SLOT_PROC


class Label(Step, frozen=True, kw_only=True):
    """Tell a security module what the next exec, or the next key, is to be labelled."""

    path: str
    value: str
    alternative: str = ""  # where the kernel does not have that path
    base: int = SLOT_OWN_PROC


class Propagation(Step, frozen=True, kw_only=True):
    """Say how mounts spread between / and other namespaces. Source: mount_namespaces(7)."""

    propagation: str
    recursive: bool = True


class OpenTree(Step, frozen=True, kw_only=True):
    """Take a detached copy of the tree at a path. Source: open_tree(2).

    With ``kind`` "c" or "b" the file must still be that device; ``straight`` refuses a path of
    which a component has become a link.
    """

    slot: int
    path: str
    base: int = SLOT_NONE
    recursive: bool = False
    straight: bool = False
    kind: str = ""
    major: int = 0
    minor: int = 0


class NewFs(Step, frozen=True, kw_only=True):
    """Make a detached mount of a new file system. Source: fsopen(2), fsconfig(2), fsmount(2)."""

    slot: int
    fstype: str
    options: tuple[tuple[str, str], ...] = ()
    attributes: tuple[str, ...] = ()
    mode_of: str = ""  # a directory below base, whose mode its root gets
    base: int = SLOT_NONE


class OldFs(Step, frozen=True, kw_only=True):
    """As NewFs, for options whose values are too long for fsconfig(2). Source: mount(2)."""

    slot: int
    fstype: str
    source: str
    options: tuple[tuple[str, str], ...]
    flags: tuple[str, ...] = ()  # of the super block: ro, sync, dirsync, mand, lazytime


class SetAttr(Step, frozen=True, kw_only=True):
    """Change attributes and propagation of a mount. Source: mount_setattr(2)."""

    slot: int
    attributes: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    propagation: str = ""
    recursive: bool = False
    attached: bool = False  # it lies where it belongs already


class OldMounts(Step, frozen=True, kw_only=True):
    """From here on mounts are changed as before Linux 5.12. Source: mount(2), MS_REMOUNT."""


class Attach(Step, frozen=True, kw_only=True):
    """Attach a detached mount at a target below ``base``. Source: move_mount(2)."""

    slot: int
    target: str
    how: int
    mode: int = 0o755
    base: int = SLOT_ROOT


class AttachRoot(Step, frozen=True, kw_only=True):
    """Attach a detached mount over the present root, or over a directory of the outer tree."""

    slot: int
    path: str = "/"


class OpenTarget(Step, frozen=True, kw_only=True):
    """Open the mount that lies at a target below base already."""

    slot: int
    target: str
    how: int = 0
    base: int = SLOT_ROOT


class Reconfigure(Step, frozen=True, kw_only=True):
    """Change options of the file system of a mount. Source: fspick(2)."""

    slot: int
    options: tuple[tuple[str, str], ...]


class CopyUp(Step, frozen=True, kw_only=True):
    """Copy what is in a directory below base into a mount that will cover it."""

    slot: int
    target: str
    base: int = SLOT_ROOT


class MountFuse(Step, frozen=True, kw_only=True):
    """Mount a FUSE file system, and hand /dev/fuse to the runtime, which starts its program."""

    slot: int
    attributes: tuple[str, ...] = ()


class CopyTree(Step, frozen=True, kw_only=True):
    """Copy a directory of the outer tree, and without ``shallow`` all below it, into the root.

    Other mounts, devices and sockets are left out, with ``lenient`` what may not be read too, with
    ``plain`` set-id bits and file capabilities, and files of more than ``limit`` bytes (0: none).
    """

    source: str
    target: str
    shallow: bool = False
    lenient: bool = False
    plain: bool = False
    limit: int = 0


class PrivateParent(Step, frozen=True, kw_only=True):
    """Keep what is attached below a path of the outer tree out of other namespaces."""

    path: str


class Uncover(Step, frozen=True, kw_only=True):
    """Take a mount of the outer tree out of reach: unmount it, or cover it where it is locked."""

    path: str
    cover: bool = False


class KeepSlot(Step, frozen=True, kw_only=True):
    """Keep a descriptor under another number."""

    source: int
    target: int


class OpenDirectory(Step, frozen=True, kw_only=True):
    """Open a directory of the outer environment; with ``system`` it must be the root of one."""

    slot: int
    path: str
    system: str = ""  # "proc" or "devpts"


class MakeDirectory(Step, frozen=True, kw_only=True):
    """Make one directory directly below an open one; ``like`` is one whose owner and mode it gets.

    An owner without an id in our user namespace is not given to it, and where there may be such
    (``lenient``) neither is nobody, who stands for them.
    """

    base: int
    name: str
    mode: int
    like: str = ""
    lenient: bool = False


class MakeFile(Step, frozen=True, kw_only=True):
    """Make one file with this text directly below an open directory."""

    base: int
    name: str
    text: str
    mode: int


class EnterDirectory(Step, frozen=True, kw_only=True):
    """Make an open directory the current one, for the relative paths of an overlay."""

    slot: int


class Mask(Step, frozen=True, kw_only=True):
    """Cover a path below ``base``, a file by the null device and a directory by an empty one."""

    path: str
    base: int = SLOT_ROOT


class ReadOnly(Step, frozen=True, kw_only=True):
    """Make a path below ``base`` and all below it read-only."""

    path: str
    base: int = SLOT_ROOT


class MakeDevice(Step, frozen=True, kw_only=True):
    """Make a device node or fifo at a path below an open directory. Source: mknod(2)."""

    name: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int
    base: int = SLOT_DEV


class MakeLink(Step, frozen=True, kw_only=True):
    """Make a symbolic link at a path below an open directory, unless there is something."""

    name: str
    value: str
    base: int = SLOT_DEV
    how: int = TARGET_NO_SYMLINKS


class MakeDirectories(Step, frozen=True, kw_only=True):
    """Make a directory inside the root, with those above it that are missing."""

    path: str
    mode: int


class Pivot(Step, frozen=True, kw_only=True):
    """Make the container's root the root of the namespace; the old tree is gone."""


class Chroot(Step, frozen=True, kw_only=True):
    """Make the container's root the root of the process, moved over / first or where it is."""

    move: bool


class ChangeDirectory(Step, frozen=True, kw_only=True):
    """Enter the working directory, which must be inside the root (CVE-2024-21626)."""

    path: str
    when: int = CHDIR_NOW


class Console(Step, frozen=True, kw_only=True):
    """Open a pty of the container's own, as its session's terminal and at a target below base."""

    target: str  # or empty
    uid: int
    base: int = SLOT_ROOT
    size: tuple[int, int] | None = None  # rows, columns


class OwnStreams(Step, frozen=True, kw_only=True):
    """Give the standard streams to the user, so that /dev/stdout can be opened by him."""

    uid: int


class Scheduler(Step, frozen=True, kw_only=True):
    """Set how the process is scheduled; times in nanoseconds. Source: sched_setattr(2)."""

    policy: int
    flags: int
    nice: int
    priority: int
    runtime: int
    deadline: int
    period: int


class IoPriority(Step, frozen=True, kw_only=True):
    """Set how its requests to disks are scheduled. Source: ioprio_set(2)."""

    priority: int


class Affinity(Step, frozen=True, kw_only=True):
    """Let the process run on these processors alone, or on all that its cgroup has.

    Source: sched_setaffinity(2).
    """

    processors: tuple[int, ...]  # empty: all


class MemoryPolicy(Step, frozen=True, kw_only=True):
    """Say from which nodes its memory comes. Source: set_mempolicy(2)."""

    mode: int
    nodes: tuple[int, ...]


class Personality(Step, frozen=True, kw_only=True):
    """Set what kind of system the process sees. Source: personality(2)."""

    value: int


class DropBounding(Step, frozen=True, kw_only=True):
    """Drop these capabilities from the bounding set. Source: PR_CAPBSET_DROP."""

    mask: int


class Ids(Step, frozen=True, kw_only=True):
    """Set supplementary groups (None keeps them), group id and user id, all three of each."""

    uid: int
    gid: int
    groups: tuple[int, ...] | None


class Capset(Step, frozen=True, kw_only=True):
    """Set effective, permitted and inheritable. Source: capset(2)."""

    effective: int
    permitted: int
    inheritable: int


class RaiseEffective(Step, frozen=True, kw_only=True):
    """Make effective what is permitted, which a change from uid 0 cleared."""


class Ambient(Step, frozen=True, kw_only=True):
    """Make the ambient set exactly this one. Source: PR_CAP_AMBIENT."""

    mask: int


class NoNewPrivs(Step, frozen=True, kw_only=True):
    """No exec may give more rights from here on. Source: PR_SET_NO_NEW_PRIVS."""


class LoadSeccomp(Step, frozen=True, kw_only=True):
    """Load a filter: the BPF program as struct sock_filter[]. Source: seccomp(2)."""

    program: bytes
    flags: int = 0
    listener: bool = False  # its notifications come to the runtime as a descriptor


class Verify(Step, frozen=True, kw_only=True):
    """Read the five sets back from the kernel; a difference stops the launch."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    last: int


class Init(Step, frozen=True, kw_only=True):
    """Stay behind as PID 1 that hands on signals and reaps orphans; a child goes on."""


class FindProgram(Step, frozen=True, kw_only=True):
    """Look whether one of the candidates can be executed, before the container is created."""

    name: str
    candidates: tuple[str, ...]


class Preserve(Step, frozen=True, kw_only=True):
    """Leave this many of the caller's descriptors to the program, as 3 and following."""

    count: int


class Exec(Step, frozen=True, kw_only=True):
    """Become the container's program: the first of the candidates that can be executed."""

    argv: tuple[str, ...]
    environment: tuple[str, ...]
    candidates: tuple[str, ...]


class LaunchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in the order of execution, the last one an Exec, and how the executor is started.

    ``namespaces`` are those that clone3(2) makes together with the process, or clone(2) where
    ``plain_clone`` says so.
    """

    namespaces: tuple[str, ...]
    steps: tuple[Step, ...]
    plain_clone: bool = False
