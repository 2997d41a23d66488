"""What CRIU is asked for: options of a checkpoint and of a restore. Pure.

Descriptors and directories, which are opened for it, are added by who asks.

Source: criu/images/rpc.proto, criu_opts; criu(8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from nestbox.errors import LaunchError
from nestbox.oci.linux import NAMESPACES
from nestbox.runtime.oci.criu_messages import CGROUP_MODES

if TYPE_CHECKING:
    from nestbox.oci.config import Config
    from nestbox.runtime.oci.criu_mounts import Pair
    from nestbox.runtime.oci.requests import CheckpointRequest, CriuOptions, RestoreRequest

_LOG_LEVEL: Final = 4
_CLONE_NEWNET: Final = 0x40000000
_CONFIG_FILE: Final = "/etc/criu/runc.conf"  # what administrators have written for runc holds here
_CONFIG_ANNOTATION: Final = "org.criu.config"
# Namespaces of which CRIU takes a descriptor, where it joins the others by path.
_HANDED: Final = ("network", "pid")


def dump_options(
    request: CheckpointRequest, config: Config, *, pid: int, root: str, freezer: str | None
) -> dict[str, Any]:
    """Return the options of a checkpoint of the container whose first process is ``pid``."""
    criu = request.criu
    options = _shared(criu, config) | {
        "pid": pid,
        "root": root,
        "log_file": "dump.log",
        "leave_running": request.leave_running,
        "tcp_skip_in_flight": criu.tcp_skip_in_flight,
        "link_remap": criu.link_remap,
        "freeze_cgroup": freezer,
    }
    if request.page_server is not None:
        address, port = request.page_server
        options["ps"] = {"address": address, "port": port}
    if criu.parent_path:
        options |= {"parent_img": criu.parent_path, "track_mem": True}
    return options


def restore_options(request: RestoreRequest, config: Config, *, root: str) -> dict[str, Any]:
    """Return the options of a restore into the directory ``root``, which is a mount.

    Raises:
        LaunchError: the container is to join a namespace that CRIU cannot join.
    """
    return _shared(request.criu, config) | {
        "root": root,
        "log_file": "restore.log",
        "evasive_devices": True,
        "rst_sibling": True,  # so that the container is our child, not CRIU's
        "lsm_profile": request.lsm_profile,
        "lsm_mount_context": request.lsm_mount_context,
        "join_ns": _joined(config),
    }


def _shared(criu: CriuOptions, config: Config) -> dict[str, Any]:
    return {
        "log_level": _LOG_LEVEL,
        "notify_scripts": True,
        "shell_job": criu.shell_job,
        "ext_unix_sk": criu.ext_unix_sk,
        "tcp_established": criu.tcp_established,
        "file_locks": criu.file_locks,
        "manage_cgroups": True,  # older ones know only this
        "manage_cgroups_mode": CGROUP_MODES[criu.manage_cgroups_mode],
        # Interfaces are the engine's to make again, so that the network is always left empty.
        "empty_ns": _CLONE_NEWNET,
        "orphan_pts_master": True,
        "auto_dedup": criu.auto_dedup,
        "lazy_pages": criu.lazy_pages,
        # An empty annotation means none at all.
        "config_file": config.annotations.get(_CONFIG_ANNOTATION, _CONFIG_FILE) or None,
    }


def _joined(config: Config) -> tuple[dict[str, str], ...]:
    joined = []
    for namespace in config.linux.namespaces:
        if not namespace.path or namespace.type in _HANDED:
            continue
        if namespace.type in {"cgroup", "mount"}:
            raise LaunchError(
                f"cannot restore into the {namespace.type} namespace {namespace.path!r}",
                cause="CRIU cannot join one of this type",
                remedy="let the container have one of its own",
            )
        joined.append({"ns": NAMESPACES[namespace.type], "ns_file": namespace.path})
    return tuple(joined)


def handed_namespaces(config: Config) -> dict[str, str]:
    """Return the paths of those namespaces that CRIU knows by a key, with the key."""
    found = {}
    for kind in _HANDED:
        path = config.namespace(kind)
        if path:
            found[namespace_key(kind)] = path
    return found


def namespace_key(kind: str) -> str:
    """Return the key of a namespace in images, which runc and others use as well."""
    return f"extRoot{NAMESPACES[kind].capitalize()}NS"


def external_namespace(key: str, inode: int) -> str:
    """Return how a namespace that stays outside the images is named at a checkpoint."""
    name = key.removeprefix("extRoot").removesuffix("NS").lower()
    return f"{name}[{inode}]:{key}"


def mount_members(pairs: tuple[Pair, ...]) -> tuple[dict[str, str], ...]:
    """Return external mounts as CRIU takes them."""
    return tuple({"key": key, "val": value} for key, value in pairs)


def cgroup_roots(lines: dict[str, str]) -> tuple[dict[str, str], ...]:
    """Return the cgroup of each controller as CRIU takes it."""
    return tuple({"ctrl": controller, "path": path} for controller, path in lines.items())


def inherited_pipes(descriptors: list[str]) -> tuple[dict[str, Any], ...]:
    """Return which standard streams take the place of the pipes that a checkpoint named."""
    return tuple(
        {"key": name, "fd": number} for number, name in enumerate(descriptors) if "pipe:" in name
    )
