"""Configurations, facts about their bundles, and resolving them with no fact too many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from nestbox.oci.config import Config
from nestbox.oci.template import rootless_template, template
from nestbox.outer.bundle_facts import BundleFacts, NamespaceFacts, NodeFacts, SourceFacts
from nestbox.outer.facts import Lsm, OuterEnvironment, RootFacts
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.options import LaunchOptions
from nestbox.policy.config.places import bundle_asks
from nestbox.policy.config.resolution import ConfigResolution
from nestbox.policy.config.resolve import resolve_config
from nestbox.policy.config.subjects import required_subjects_config
from nestbox.policy.launch_spec import LaunchSpec, MountSpec
from nestbox.policy.resolution import refusal
from tests.oci.configs import document, read
from tests.policy.surroundings import ROOT, change, full_root

ALL_LIMITS = ("RLIMIT_CORE", "RLIMIT_MEMLOCK", "RLIMIT_NOFILE", "RLIMIT_NPROC")
OPTIONS = LaunchOptions(bundle="/bundle", container_id="box")
FUSE = NodeFacts(kind="c", major=10, minor=229, mode=0o660, uid=0, gid=0)
DOCUMENTS = Path(__file__).parent / "documents"
USER_MAPS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
_KINDS = {
    "ipc": "ipc",
    "uts": "uts",
    "net": "net",
    "netns": "net",
    "user": "user",
    "pid": "pid",
    "mnt": "mnt",
}


def equipped(environment: OuterEnvironment) -> OuterEnvironment:
    """Return the environment with security modules and the limits that engines set."""
    assert environment.limits is not None
    limit = environment.limits.rlimits["RLIMIT_NOFILE"]
    return change(
        environment,
        lsm=Lsm(
            active=("capability", "selinux", "apparmor"), label=None, apparmor_mode="unconfined"
        ),
        limits=msgspec.structs.replace(
            environment.limits, rlimits=dict.fromkeys(ALL_LIMITS, limit)
        ),
    )


def spec(**changes: Any) -> Config:
    """Return what `spec` writes, with places (``linux__sysctl``) set to other values."""
    return _with(json.loads(template(cgroup_namespace=True)), changes)


def rootless_spec(**changes: Any) -> Config:
    """Return what `spec --rootless` writes for uid 1000, with other values."""
    written = rootless_template(uid=1000, gid=1000, cgroup_namespace=False)
    return _with(json.loads(written), changes)


def engine(name: str) -> Config:
    """Return the configuration that an engine wrote."""
    if name == "spec":
        return spec()
    if name == "cri":
        return read(json.loads((DOCUMENTS / "cri.json").read_text()))
    return read(document(name))


def _with(found: Any, changes: dict[str, Any]) -> Config:
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = found
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    return read(found)


def namespaces(*kinds: str, **paths: str) -> list[dict[str, str]]:
    """Return new namespaces of these types, and those to join by their paths."""
    new = [{"type": kind} for kind in kinds]
    return [*new, *({"type": kind, "path": path} for kind, path in paths.items())]


def with_user(**changes: Any) -> Config:
    """Return the configuration with a new user namespace of 65536 ids."""
    given = {
        "linux__namespaces": namespaces("user", "pid", "network", "ipc", "uts", "mount", "cgroup"),
        "linux__uidMappings": USER_MAPS,
        "linux__gidMappings": USER_MAPS,
    }
    return spec(**(given | changes))


def bind(source: str, target: str, *options: str, **fields: Any) -> dict[str, Any]:
    """Return a bind mount as a configuration has it."""
    given = {"destination": target, "type": "bind", "source": source}
    return {**given, "options": ["bind", *options], **fields}


def mounts(*added: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the mounts that `spec` writes and more after them."""
    return [*json.loads(template(cgroup_namespace=True))["mounts"], *added]


def usual_facts(config: Config, options: LaunchOptions = OPTIONS) -> BundleFacts:
    """Return facts by which every source is a directory, and every path its kind of namespace."""
    asks = bundle_asks(config, options, ROOT.directory)
    return BundleFacts(
        sources={path: SourceFacts(attributes=("relatime",)) for path in asks.sources},
        namespaces={path: NamespaceFacts(kind=_kind(path)) for path in asks.namespaces},
        devices={"/dev/fuse": FUSE},
        kcore=True,
    )


def _kind(path: str) -> str:
    return next(kind for part, kind in _KINDS.items() if part in path.split("/"))


def decide(
    config: Config, environment: OuterEnvironment | None = None, **given: Any
) -> ConfigResolution:
    """Resolve with no more facts than are said to be required."""
    options = msgspec.structs.replace(OPTIONS, **given.pop("options", {}))
    root: RootFacts = given.pop("root", ROOT)
    cgroups: CgroupLocation | None = given.pop("cgroups", None)
    bundle = msgspec.structs.replace(usual_facts(config, options), **given)
    seen = needed_facts(config, environment or full_root())
    return resolve_config(config, options, seen, root, bundle=bundle, cgroups=cgroups)


def needed_facts(config: Config, environment: OuterEnvironment) -> OuterEnvironment:
    """Return the environment with no more facts than are said to be required."""
    seen = OuterEnvironment()
    while True:
        needed = required_subjects_config(config, seen)
        found = {one.value: getattr(environment, one.value) for one in needed}
        if change(seen, **found) == seen:
            return seen
        seen = change(seen, **found)


def launch(config: Config, environment: OuterEnvironment | None = None, **given: Any) -> LaunchSpec:
    """Return the launch of a configuration that is not refused."""
    resolution = decide(config, environment, **given)
    assert refusal(resolution) is None
    assert resolution.launch is not None
    return resolution.launch


def mount_at(found: LaunchSpec, target: str) -> MountSpec:
    """Return the one mount at a target."""
    (mount,) = (one for one in found.mounts if one.target == target)
    return mount
