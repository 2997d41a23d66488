"""From a bundle to what is to be launched: everything of create before its first effect."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from nestbox.errors import ConfigError, NestboxError, reason
from nestbox.oci.config import Config
from nestbox.oci.read import parse_config
from nestbox.oci.validate import find_problems, refuse
from nestbox.outer.bundle import observe_bundle
from nestbox.outer.bundle_facts import BundleFacts, SourceFacts
from nestbox.outer.facts import OuterEnvironment, RootFacts, Subject
from nestbox.outer.probe import extend
from nestbox.outer.root import observe_root
from nestbox.policy.cgroup_nesting import may_nest
from nestbox.policy.config.cgroup_location import CgroupLocation, LocationRequest, locate
from nestbox.policy.config.options import LaunchOptions
from nestbox.policy.config.places import bundle_asks
from nestbox.policy.config.process import program_candidates
from nestbox.policy.config.resolution import ConfigResolution
from nestbox.policy.config.resolve import resolve_config
from nestbox.policy.config.subjects import required_subjects_config
from nestbox.policy.decision import Outcome
from nestbox.policy.launch_spec import LaunchSpec
from nestbox.policy.resolution import refusal
from nestbox.runtime.context import default_storage
from nestbox.runtime.oci.requests import CreateRequest, Options

_REASONS = frozenset({Subject.ANCESTRY, Subject.ENGINE})
_MAXIMUM_CONFIG = (32 << 20) + 1


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was read: ``text`` is its configuration as it stands in the file."""

    directory: str
    text: bytes
    config: Config
    root: str  # absolute, without links


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A container that may be created. Nothing exists because of it yet."""

    bundle: Bundle
    launch: LaunchSpec
    resolution: ConfigResolution
    environment: OuterEnvironment
    root: RootFacts
    location: CgroupLocation
    options: LaunchOptions


def read_bundle(request: CreateRequest) -> Bundle:
    """Return the bundle of a request, with its configuration checked.

    Raises:
        ConfigError: the configuration cannot be read, is malformed or contradicts itself.
    """
    directory = request.bundle
    path = request.config or os.path.join(directory, "config.json")
    text = _read(path, given=request.config is not None)
    config = parse_config(text, source=path)
    refuse(find_problems(config), source=path)
    root = os.path.join(directory, config.root.path)
    try:
        root = os.path.realpath(root, strict=True)
    except OSError as error:
        raise ConfigError(
            f"invalid rootfs: {root!r}",
            cause=reason(error),
            remedy="give root.path of the configuration a directory that exists",
        ) from error
    if not os.path.isdir(root):
        raise ConfigError(
            f"invalid rootfs: {root!r} is not a directory",
            cause="a file of another type is there",
            remedy="give root.path of the configuration a directory",
        )
    return Bundle(directory=directory, text=text, config=config, root=root)


def _read(path: str, *, given: bool) -> bytes:
    try:
        # Not blocking: opening a FIFO would otherwise wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            return file.read(_MAXIMUM_CONFIG)
    except FileNotFoundError as error:
        name = path if given else os.path.basename(path)
        raise ConfigError(
            f"JSON specification file {name} not found",
            cause=f"no such file or directory: {path}",
            remedy="name the directory that has it with --bundle",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {path!r}", cause=reason(error), remedy="name a readable file"
        ) from error


def accept(
    bundle: Bundle, launch_options: LaunchOptions, options: Options, variables: Mapping[str, str]
) -> Accepted:
    """Return what is to be launched, with every decision made.

    ``variables`` are those of the environment of the caller.

    Raises:
        Refused: the configuration is strict, and something in it is not to be had here.
        NestboxError: it contradicts the facts of this environment.
    """
    config = bundle.config
    storage = default_storage(dict(variables), os.geteuid())
    environment = _observe(config, storage, variables)
    candidates = program_candidates(config.process, launch_options)
    root = observe_root(bundle.root, candidates, looks_up_names=False)
    facts = _observe_bundle(bundle, launch_options)
    location = _locate(config, launch_options, options, environment)

    def decide(known: OuterEnvironment) -> ConfigResolution:
        return resolve_config(config, launch_options, known, root, bundle=facts, cgroups=location)

    resolution = decide(environment)
    if _lacks_something(resolution):
        # The same answer with more words: which ancestor took it, and what brings it back.
        environment = extend(environment, _REASONS, state_directory=storage, environment=variables)
        resolution = decide(environment)
    refused = refusal(resolution)
    if refused is not None:
        raise refused
    launch = resolution.launch
    if launch is None:
        raise NestboxError(
            "cannot launch",
            cause="the configuration was refused without a reason",
            remedy="report it: this is a defect of nestbox",
        )
    return Accepted(
        bundle=bundle,
        launch=launch,
        resolution=resolution,
        environment=environment,
        root=root,
        location=location,
        options=launch_options,
    )


def _observe_bundle(bundle: Bundle, options: LaunchOptions) -> BundleFacts:
    facts = observe_bundle(bundle_asks(bundle.config, options, bundle.root))
    if options.notify_socket is None:
        return facts
    # Its directory is made with the container's own, and is bound closed and read-only.
    directory = os.path.dirname(options.notify_socket)
    sources = {**facts.sources, directory: SourceFacts(kind="directory")}
    return msgspec.structs.replace(facts, sources=sources)


def _observe(config: Config, storage: str, variables: Mapping[str, str]) -> OuterEnvironment:
    """Observe what the decisions need; what that is can depend on what was observed."""
    known = OuterEnvironment()
    while True:
        needed = required_subjects_config(config, known) | {
            Subject.CGROUP,
            Subject.CAPABILITIES,
        }
        if all(getattr(known, subject.value) is not None for subject in needed):
            return known
        known = extend(known, needed, state_directory=storage, environment=variables)


def _locate(
    config: Config, launch: LaunchOptions, options: Options, environment: OuterEnvironment
) -> CgroupLocation:
    assert environment.cgroup is not None
    request = LocationRequest(
        container=launch.container_id,
        path=config.linux.cgroups_path or None,
        manager=options.cgroup_manager,
        rootless=launch.rootless,
        may_nest=options.cgroup_manager == "cgroupfs" and may_nest(environment),
    )
    if options.cgroup_manager == "systemd":
        from nestbox.runtime.cgroup.systemd import manager_cgroup

        # Asked before anything is made, so that a machine without systemd refuses in time.
        cgroup = manager_cgroup(rootless=launch.rootless)
        request = msgspec.structs.replace(request, manager_cgroup=cgroup)
    return locate(request, environment.cgroup)


def _lacks_something(resolution: ConfigResolution) -> bool:
    """Whether anything asked for is not given, so that it is worth looking for who took it."""
    lacking = {Outcome.WEAKENED, Outcome.REFUSED}
    return any(one.outcome in lacking for one in resolution.capabilities.decisions)
