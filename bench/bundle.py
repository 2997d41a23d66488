"""The one configuration that all launchers are given, as values and as an OCI config.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.hierarchies import TOP, Hierarchy

OCI_VERSION: Final = "1.0.2"

# The set that the common engines grant by default.
CAPABILITIES: Final = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
# The numbers of those, in that order. Source: linux/capability.h.
_CAPABILITY_NUMBERS: Final = (0, 1, 4, 3, 27, 13, 6, 7, 31, 8, 10, 18, 5, 29)
NAMESPACES: Final = ("mount", "pid", "ipc", "uts", "cgroup", "network")

# What the common engines mask and make read-only by default.
_MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_NO_EXEC: Final = ["nosuid", "noexec", "nodev"]
_CGROUP: Final = [*_NO_EXEC, "relatime", "ro"]


class Restrictions(msgspec.Struct, frozen=True, kw_only=True):
    """The paths to restrict, those alone that exist on this machine."""

    masked_files: tuple[str, ...]
    masked_directories: tuple[str, ...]
    read_only: tuple[str, ...]


def restrictions() -> Restrictions:
    """Return what there is to restrict here; no launcher does anything about an absent path."""
    masked = [Path(path) for path in _MASKED]
    return Restrictions(
        masked_files=tuple(str(p) for p in masked if p.exists() and not p.is_dir()),
        masked_directories=tuple(str(p) for p in masked if p.is_dir()),
        read_only=tuple(path for path in _READ_ONLY if Path(path).exists()),
    )


def config(
    root: Path,
    argv: Sequence[str],
    paths: Restrictions,
    *,
    cgroups: Sequence[Hierarchy],
    seccomp: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return a config.json: the same root, namespaces, mounts and capabilities for each runtime.

    Args:
        root: the root file system.
        argv: the program and its arguments.
        paths: what to mask and to make read-only.
        cgroups: the hierarchies to mount.
        seccomp: the filter as linux.seccomp, None for none.

    Source: runtime-spec config.md and config-linux.md.
    """
    linux: dict[str, Any] = {
        "namespaces": [{"type": name} for name in NAMESPACES],
        "maskedPaths": [*paths.masked_files, *paths.masked_directories],
        "readonlyPaths": [*paths.read_only],
    }
    if seccomp is not None:
        linux["seccomp"] = seccomp
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(argv),
        "root": {"path": str(root), "readonly": False},
        "hostname": "bench",
        "mounts": [*_mounts(), *_cgroup_mounts(cgroups)],
        "linux": linux,
    }


def capability_mask() -> int:
    """Return CAPABILITIES as the mask that /proc/self/status shows."""
    return sum(1 << number for number in _CAPABILITY_NUMBERS)


def write(directory: Path, content: dict[str, Any]) -> Path:
    """Return the bundle directory, made, with its config.json in it."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(content, indent=1))
    return directory


def _process(argv: Sequence[str]) -> dict[str, Any]:
    granted = list(CAPABILITIES)
    return {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": list(argv),
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "cwd": "/",
        "capabilities": {"bounding": granted, "effective": granted, "permitted": granted},
        "noNewPrivileges": False,
    }


def _mounts() -> list[dict[str, Any]]:
    devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    return [
        _mount("/proc", "proc", "proc", _NO_EXEC),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", "devpts", devpts),
        _mount("/dev/shm", "tmpfs", "shm", [*_NO_EXEC, "mode=1777", "size=65536k"]),
        _mount("/dev/mqueue", "mqueue", "mqueue", _NO_EXEC),
        _mount("/sys", "sysfs", "sysfs", [*_NO_EXEC, "ro"]),
    ]


def _cgroup_mounts(cgroups: Sequence[Hierarchy]) -> list[dict[str, Any]]:
    """Return a mount of type cgroup, as the common engines ask for, and what it leaves out.

    For that one the runtimes mount by themselves what they find outside; beside hierarchies of
    version 1 they omit that of version 2.
    """
    if not cgroups:
        return []
    omitted = [each.path for each in cgroups if not each.controllers and each.path != TOP]
    return [
        _mount(TOP, "cgroup", "cgroup", _CGROUP),
        *(_mount(path, "cgroup2", "cgroup2", _CGROUP) for path in omitted),
    ]


def _mount(destination: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": options}
