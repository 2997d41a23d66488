"""An outer environment as a value: what is taken away from this machine, and how. Values only.

The vocabulary is small and its parts are independent of each other: every environment of the
catalogue is a choice of a value for some of them. `enclosure.py` makes what is described here.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from nestbox.kernel.capabilities import TABLE

# All that the reference machine has, so that an environment is the same one elsewhere.
EVERY = frozenset(row.name.removeprefix("CAP_") for row in TABLE) - {"SYS_RESOURCE"}
DOCKER = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP "
    "SETGID SETPCAP SETUID SYS_CHROOT".split()
)
SOMEBODY = 1000  # the ordinary user


class Ids(StrEnum):
    """The user namespace of the environment."""

    MACHINE = "machine"  # that of this machine, so none
    EVERY_ID = "every-id"  # a new one, in which each id is itself
    ONE_ID = "one-id"  # a new one, made by an ordinary user: 0 is that user, and nobody else is


class Root(StrEnum):
    """The root file system: always what this machine has, with a /tmp, /run, /proc… of its own."""

    BIND = "bind"
    READ_ONLY = "read-only"
    OVERLAY = "overlay"  # as an engine makes it, its upper layer on a tmpfs
    NOSUID = "nosuid"
    JAIL = "jail"  # chroot(2) to a directory that is no mount
    BARE_JAIL = "bare-jail"  # the same, and nothing is mounted in it


class Proc(StrEnum):
    """What is mounted at /proc."""

    FRESH = "fresh"
    MASKED = "masked"  # as docker masks it
    HIDEPID = "hidepid"  # processes of others are not shown
    MACHINE = "machine"  # that of the machine's pid namespace
    NONE = "none"


class Sys(StrEnum):
    """What is mounted at /sys."""

    WRITABLE = "writable"
    READ_ONLY = "read-only"
    NONE = "none"


class Cgroup(StrEnum):
    """What is mounted at /sys/fs/cgroup: hierarchies of this machine, from our own cgroup down."""

    OWN = "own"  # writable for who owns it, which is root
    DELEGATED = "delegated"  # given to the ordinary user
    READ_ONLY = "read-only"
    NONE = "none"


class Dev(StrEnum):
    """What is in /dev."""

    USUAL = "usual"
    ENGINE = "engine"  # without /dev/fuse and /dev/net/tun
    NONE = "none"  # an empty directory


class Filter(StrEnum):
    """A seccomp filter on everything in the environment."""

    NONE = "none"
    DOCKER = "docker"  # docker's default one, for the environment's capabilities
    NO_CLONE3 = "no-clone3"  # an engine of 2021: EPERM for clone3, close_range and faccessat2
    OLD = "old"  # an engine of 2019: EPERM for the mount calls of that year too


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """One outer environment. A field that is not given takes nothing away."""

    name: str
    about: str  # who has such an environment, or how it arises
    capabilities: frozenset[str] = EVERY  # the bounding set, and for root the permitted one
    ambient: frozenset[str] = frozenset()  # what an ordinary user holds all the same
    uid: int = 0
    ids: Ids = Ids.MACHINE
    subordinate_ids: bool = False  # 65536 of them for the ordinary user
    user_namespaces: bool = True  # false: user.max_user_namespaces is 0
    no_new_privs: bool = False
    seccomp: Filter = Filter.NONE
    root: Root = Root.BIND
    proc: Proc = Proc.FRESH
    sys: Sys = Sys.WRITABLE
    cgroup: Cgroup = Cgroup.OWN
    dev: Dev = Dev.USUAL
    run_read_only: bool = False
    noexec: bool = False  # /tmp and /run are noexec, nosuid, nodev
    rlimits: tuple[tuple[str, int], ...] = ()  # ("NOFILE", 64): soft and hard
    hidden: tuple[str, ...] = ()  # programs that are not there
    needs: str = ""  # "v1" or "v2": which cgroup version the machine must have for it
