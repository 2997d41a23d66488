"""What is known about the files that a config.json names. Values only."""

from __future__ import annotations

import msgspec

from nestbox.outer.facts import IdMap


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The source of a bind mount, links in its path followed."""

    error: str | None = None  # the reason in words when it cannot be reached
    kind: str = "directory"  # directory, file, socket, other
    proc: bool = False  # it lies on a proc file system
    proc_root: bool = False  # it is the root of one
    attributes: tuple[str, ...] = ()  # of the mount that it lies on


class NamespaceFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The file that stands for a namespace; the maps are None where they could not be found."""

    error: str | None = None
    kind: str = ""  # mnt pid ipc uts net cgroup user time; empty when it is no namespace
    own: bool = False  # it is the runtime's own
    uid_map: tuple[IdMap, ...] | None = None
    gid_map: tuple[IdMap, ...] | None = None
    setgroups_denied: bool = False


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A device node of the outer environment."""

    kind: str  # "c" or "b"
    major: int
    minor: int
    mode: int  # permission bits
    uid: int
    gid: int


class BundleFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a configuration refers to: bind sources and namespaces by path, and a few files."""

    sources: dict[str, SourceFacts] = {}
    namespaces: dict[str, NamespaceFacts] = {}
    devices: dict[str, NodeFacts] = {}  # of the outer /dev, by path; what is none is absent
    kernel_mounts: tuple[str, ...] = ()  # where a whole proc or sysfs is mounted outside the root
    passwd: str | None = None  # text of what a mount puts at /etc/passwd; None without such one
    kcore: bool = False  # this kernel has /proc/kcore


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A path inside a directory of the outer environment, links resolved within that."""

    directory: str
    path: str


class BundleAsks(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at."""

    sources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    kernel_mounts: str | None = None  # the root outside which they are looked for
    passwd: Place | None = None
