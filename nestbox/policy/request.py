"""What one `nestbox run` asks for, as values: each field as it was asked, nothing decided.

A field that is None was not asked for by name, so the profile's value holds (and is lenient).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RootKind(StrEnum):
    """Where the root file system comes from."""

    HOST = "host"  # the present root and the mounts below it
    DIRECTORY = "directory"


class RootMode(StrEnum):
    """What becomes of writes to the root."""

    DIRECT = ""  # they reach the directory
    READ_ONLY = "ro"
    # They are thrown away, with the layer or copy that they go to:
    OVERLAY = "overlay"  # an overlay, by the kernel or by fuse-overlayfs
    FUSE = "fuse"  # by fuse-overlayfs
    COPY = "copy"  # a copy of the whole, which takes its space and time


THROWN_AWAY = frozenset({RootMode.OVERLAY, RootMode.FUSE, RootMode.COPY})


class RootRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`--rootfs host|DIR[:ro|:overlay|:fuse|:copy]`.

    For the host, DIRECT means OVERLAY, or what comes nearest to it.
    """

    kind: RootKind
    directory: str  # "/" for the host
    mode: RootMode


class MountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One `-v`, `--mount` or `--tmpfs`."""

    type: str  # "bind", "tmpfs", or "volume": a new directory that ends with the container
    source: str  # absolute host path; empty for what is new
    target: str  # absolute path inside the container
    options: tuple[str, ...]  # "ro", "rshared", "nosuid", "size=64m", …
    asked_by: str  # "-v /src:/dst:ro"
    must_exist: bool  # --mount: the source must exist; -v makes a missing directory as docker does


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One `--device HOST[:CONTAINER[:rwm]]`."""

    source: str
    target: str
    access: str  # a subset of "rwm"
    asked_by: str


class PortRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One port of a `-p [ADDRESS:][HOST:]CONTAINER[/PROTOCOL]`."""

    protocol: str  # "tcp" or "udp"
    address: str  # of the outer environment, IPv4; "" for all of them
    outer: int | None  # None: any that is free
    inner: int
    asked_by: str  # "-p 8080:80"


class LimitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One `--ulimit NAME=SOFT[:HARD]`; None is unlimited."""

    name: str  # "RLIMIT_NOFILE"
    soft: int | None
    hard: int | None
    asked_by: str


class SecurityOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The `--security-opt` flags, sorted by subject."""

    seccomp: str | None = None  # "unconfined" or a file
    apparmor: str | None = None
    no_new_privileges: bool | None = None
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()  # "ALL" lifts every mask and read-only path
    writable_cgroups: bool = False


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one `nestbox run` asks for."""

    argv: tuple[str, ...]
    root: RootRequest
    profile: str | None = None  # a name or a path; None is "default", or "privileged" below
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    ambient: bool = False
    mounts: tuple[MountRequest, ...] = ()
    environment: tuple[str, ...] = ()  # "K=V", in order, after --env-file
    working_directory: str | None = None
    user: str | None = None  # "UID", "UID:GID", "name", "name:group"
    hostname: str | None = None
    network: str | None = None  # none, host, private, bridge, pasta or slirp4netns
    ports: tuple[PortRequest, ...] = ()
    pid: str | None = None  # the pid namespace: "private" or "host"
    user_namespace: str | None = None  # "host", "auto", "keep-id[:…]" or "INSIDE:OUTSIDE:COUNT[,…]"
    uid_maps: tuple[str, ...] = ()  # "INSIDE:OUTSIDE[:COUNT]", each --uidmap
    gid_maps: tuple[str, ...] = ()
    read_only: bool = False
    memory_bytes: int | None = None
    cpus: float | None = None
    pids_limit: int | None = None  # -1 is unlimited
    shm_bytes: int | None = None
    limits: tuple[LimitRequest, ...] = ()
    oom_score_adj: int | None = None
    sysctls: tuple[tuple[str, str], ...] = ()
    devices: tuple[DeviceRequest, ...] = ()
    security: SecurityOptions = SecurityOptions()
    init: bool = False
    interactive: bool = False
    terminal: bool = False
    name: str | None = None
