"""The configuration that ``spec`` writes for a start: the same as runc's, field by field.

Scripts edit it with jq and sed, so that the order of the fields and the indentation are runc's too.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from nestbox.oci.config import SPEC_VERSION

_CAPABILITIES: Final = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
_PROCESS: Final = {
    "terminal": True,
    "user": {"uid": 0, "gid": 0},
    "args": ["sh"],
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    "cwd": "/",
    "capabilities": {
        "bounding": _CAPABILITIES,
        "effective": _CAPABILITIES,
        "permitted": _CAPABILITIES,
    },
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
    "noNewPrivileges": True,
}
# Target, type, source, options.
_MOUNTS: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("/proc", "proc", "proc", ""),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
)
# Without rights over the network namespace a new sysfs is refused.
_BOUND_SYS: Final = ("/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro")
_NAMESPACES: Final = ("pid", "network", "ipc", "uts", "mount")
_MASKED: Final = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
)  # fmt: skip
_READONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PATHS: Final = {"maskedPaths": _MASKED, "readonlyPaths": _READONLY}


def template(*, cgroup_namespace: bool) -> str:
    """Return the text of a configuration for a runtime that is root.

    Args:
        cgroup_namespace: whether it asks for one, as it should where cgroup v2 is used alone.
    """
    linux = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": _namespaces(*_NAMESPACES, *_cgroup(cgroup_namespace)),
        **_PATHS,
    }
    return _text([_mount(*row) for row in _MOUNTS], linux)


def rootless_template(*, uid: int, gid: int, cgroup_namespace: bool) -> str:
    """Return the text of a configuration for a user without rights.

    Args:
        uid: the user's id, which is root's in the container.
        gid: likewise of the group.
        cgroup_namespace: as for ``template``.
    """
    kinds = [kind for kind in _NAMESPACES if kind != "network"]
    linux = {
        "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
        "namespaces": _namespaces(*kinds, *_cgroup(cgroup_namespace), "user"),
        **_PATHS,
    }
    mounts = [_mount(*(_BOUND_SYS if row[0] == "/sys" else row)) for row in _MOUNTS]
    for mount in mounts:
        # The one id that there is, is root's: no other can own a file.
        options = mount.get("options", ())
        kept = [word for word in options if not word.startswith(("gid=", "uid="))]
        if kept:
            mount["options"] = kept
    return _text(mounts, linux)


def _cgroup(wanted: bool) -> tuple[str, ...]:
    return ("cgroup",) if wanted else ()


def _namespaces(*kinds: str) -> list[dict[str, str]]:
    return [{"type": kind} for kind in kinds]


def _mount(destination: str, fstype: str, source: str, options: str) -> dict[str, Any]:
    mount: dict[str, Any] = {"destination": destination, "type": fstype, "source": source}
    return mount | {"options": options.split(",")} if options else mount


def _text(mounts: list[dict[str, Any]], linux: dict[str, Any]) -> str:
    document = {
        "ociVersion": SPEC_VERSION,
        "process": _PROCESS,
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runc",  # what is there to be edited is the same for every drop-in
        "mounts": mounts,
        "linux": linux,
    }
    text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    return "\n".join(_with_tabs(line) for line in text.split("\n"))


def _with_tabs(line: str) -> str:
    """Return the line with a tab for each space that it begins with; JSON text has no others."""
    rest = line.lstrip(" ")
    return "\t" * (len(line) - len(rest)) + rest
