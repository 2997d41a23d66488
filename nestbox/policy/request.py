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
    OVERLAY = "overlay"  # they go to a layer that is thrown away


class RootRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`--rootfs host|DIR[:ro|:overlay]`; for the host, DIRECT means OVERLAY."""

    kind: RootKind
    directory: str  # "/" for the host
    mode: RootMode


class MountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One `-v`, `--mount` or `--tmpfs`."""

    type: str  # "bind" or "tmpfs"
    source: str  # absolute host path; empty for tmpfs
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
    network: str | None = None  # "none" or "host"
    user_namespace: str | None = None  # "host", "auto", or "INSIDE:OUTSIDE:COUNT[,…]"
    read_only: bool = False
    memory_bytes: int | None = None
    cpus: float | None = None
    pids_limit: int | None = None  # -1 is unlimited
    shm_bytes: int | None = None
    limits: tuple[LimitRequest, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    devices: tuple[DeviceRequest, ...] = ()
    security: SecurityOptions = SecurityOptions()
    init: bool = False
    interactive: bool = False
    terminal: bool = False
    name: str | None = None
