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
SLOT_NONE = 255
SLOT_NAMES = ("root", "scratch", "proc", "dev", "pts", "new", "upper", "null", "sys")
# Mounts of the container's own that paths are resolved below, and where they are attached.
SLOT_PLACES = {SLOT_PROC: "/proc", SLOT_DEV: "/dev", SLOT_SYS: "/sys"}

TARGET_NO_SYMLINKS = 1
TARGET_MAKE = 2
TARGET_ON_PROC = 4
TARGET_OPTIONAL = 8


# What the runtime does while the executor waits: the reasons of Sync.
SYNC_ID_MAPS = "id maps"
SYNC_CGROUP = "cgroup"
SYNC_TERMINAL = "terminal size"


class Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """The base of every step."""


class Sync(Step, frozen=True, kw_only=True):
    """Tell the runtime and wait for it; ``reason`` says for what."""

    reason: str


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
    """Write a value to a file below the container's own proc mount."""

    path: str
    value: str


class Propagation(Step, frozen=True, kw_only=True):
    """Cut the whole tree off from the mounts of the outer namespace."""

    propagation: str


class OpenTree(Step, frozen=True, kw_only=True):
    """Take a detached copy of the tree at a path. Source: open_tree(2).

    With ``kind`` "c" or "b" the file must still be that device.
    """

    slot: int
    path: str
    base: int = SLOT_NONE
    recursive: bool = False
    kind: str = ""
    major: int = 0
    minor: int = 0


class NewFs(Step, frozen=True, kw_only=True):
    """Make a detached mount of a new file system. Source: fsopen(2), fsconfig(2), fsmount(2)."""

    slot: int
    fstype: str
    options: tuple[tuple[str, str], ...] = ()
    attributes: tuple[str, ...] = ()


class SetAttr(Step, frozen=True, kw_only=True):
    """Change attributes and propagation of a mount. Source: mount_setattr(2)."""

    slot: int
    attributes: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    propagation: str = ""
    recursive: bool = False


class Attach(Step, frozen=True, kw_only=True):
    """Attach a detached mount at a target below ``base``. Source: move_mount(2)."""

    slot: int
    target: str
    how: int
    mode: int = 0o755
    base: int = SLOT_ROOT


class AttachRoot(Step, frozen=True, kw_only=True):
    """Attach a detached mount over the present root."""

    slot: int


class KeepSlot(Step, frozen=True, kw_only=True):
    """Keep a descriptor under another number."""

    source: int
    target: int


class OpenDirectory(Step, frozen=True, kw_only=True):
    """Open a directory of the outer environment."""

    slot: int
    path: str


class MakeDirectory(Step, frozen=True, kw_only=True):
    """Make one directory directly below an open one."""

    base: int
    name: str
    mode: int


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
    """Make a device node directly below /dev. Source: mknod(2)."""

    name: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


class MakeLink(Step, frozen=True, kw_only=True):
    """Make a symbolic link directly below /dev."""

    name: str
    value: str


class MakeDirectories(Step, frozen=True, kw_only=True):
    """Make a directory inside the root, with those above it that are missing."""

    path: str
    mode: int


class Pivot(Step, frozen=True, kw_only=True):
    """Make the container's root the root of the namespace; the old tree is gone."""


class ChangeDirectory(Step, frozen=True, kw_only=True):
    """Enter the working directory, which must be inside the root (CVE-2024-21626)."""

    path: str


class Console(Step, frozen=True, kw_only=True):
    """Open a pty of the container's own, as its session's terminal and at a target below base."""

    target: str
    uid: int
    base: int = SLOT_ROOT


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


class Exec(Step, frozen=True, kw_only=True):
    """Become the container's program: the first of the candidates that can be executed."""

    argv: tuple[str, ...]
    environment: tuple[str, ...]
    candidates: tuple[str, ...]


class LaunchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in the order of execution, the last one an Exec, and how the executor is started.

    ``namespaces`` are those that clone3(2) makes together with the process.
    """

    namespaces: tuple[str, ...]
    steps: tuple[Step, ...]
