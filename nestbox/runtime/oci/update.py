"""update: change the limits of a container that runs."""

from __future__ import annotations

import contextlib

import msgspec

from nestbox.errors import StateError, UsageError
from nestbox.oci.config import Config
from nestbox.oci.read import parse_config, parse_resources
from nestbox.oci.resources import LinuxMemory, LinuxResources
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.cgroup_settings import ignored
from nestbox.runtime.cgroup.update import update as update_cgroup
from nestbox.runtime.oci.container import STOPPED, Container, Held
from nestbox.runtime.oci.requests import Log
from nestbox.runtime.oci.store import Store

# What the container has now, where it is not any more what its configuration says.
RESOURCES = "resources.json"


class CacheLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of resctrl, in the words of its file schemata; empty leaves as it is."""

    l3_cache: str = ""
    memory_bandwidth: str = ""


def update(
    root: str,
    container_id: str,
    change: LinuxResources,
    *,
    cache: CacheLimits | None = None,
    log: Log,
) -> None:
    """Change what ``change`` names of a container's limits, and keep the rest.

    Raises:
        StateError: the container does not exist or does not run.
        ConfigError: the change contradicts itself or the present limits.
        LaunchError: the kernel refuses it; the present limits stay.
        UsageError: the container has no group of resctrl to change.
    """
    store = Store(root)
    held = store.hold(container_id)
    try:
        container = store.load(container_id)
        if container.status() == STOPPED:
            raise StateError(
                f'cannot update the container "{container_id}"',
                cause="container not running",
                remedy="start it, or create it with other limits",
            )
        config = parse_config(container.configuration(), source=container.path("config.json"))
        if cache is not None:
            _update_cache(container, config, cache)
        _update_cgroup(container, held, config, change, log)
    finally:
        held.let_go()


def _update_cgroup(
    container: Container, held: Held, config: Config, change: LinuxResources, log: Log
) -> None:
    location = msgspec.convert(container.state.cgroup, CgroupLocation)
    memory = change.memory or LinuxMemory()
    if memory.check_before_update is None:  # a change that does not say so does not ask for it
        memory = msgspec.structs.replace(memory, check_before_update=False)
    change = msgspec.structs.replace(change, memory=memory)
    for sentence in ignored(change, location):
        log.warning(sentence)
    kept = update_cgroup(location, present_resources(container, config), change)
    held.write(RESOURCES, msgspec.json.encode(kept))


def present_resources(container: Container, config: Config) -> LinuxResources:
    """Return the limits that the container has: of its last update, or of its configuration."""
    path = container.path(RESOURCES)
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        return parse_resources(file.read(), source=path)
    resources = config.linux.resources if config.linux is not None else None
    return resources or LinuxResources()


def _update_cache(container: Container, config: Config, cache: CacheLimits) -> None:
    from nestbox.runtime.oci import resctrl

    root = resctrl.find_root()
    if root is None:
        name = "CAT: l3 cache schema" if cache.l3_cache else "MBA: memory bandwidth schema"
        raise UsageError(
            f"Intel RDT/{name} is not enabled",
            cause="no file system resctrl is mounted",
            remedy="mount it: mount -t resctrl resctrl /sys/fs/resctrl",
        )
    rdt = config.linux.intel_rdt if config.linux is not None else None
    if rdt is None:
        raise UsageError(
            "updating a non-existent Intel RDT configuration is not supported",
            cause="the container was created without linux.intelRdt",
            remedy="create it with a linux.intelRdt",
        )
    group = resctrl.group_of(rdt, container.id, root)
    resctrl.update(group.path, cache.l3_cache, cache.memory_bandwidth)
