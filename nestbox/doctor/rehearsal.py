"""Launches resolved without being made: the policy's own answer to what would happen. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from nestbox.doctor.shipped import Shipped
from nestbox.outer.facts import OuterEnvironment, RootFacts, Subject
from nestbox.policy.profile import Profile
from nestbox.policy.request import (
    DeviceRequest,
    RootKind,
    RootMode,
    RootRequest,
    RunRequest,
)
from nestbox.policy.resolution import Resolution
from nestbox.policy.resolve import required_subjects, resolve, wanted_seccomp

_HOST: Final = RootRequest(kind=RootKind.HOST, directory="/", mode=RootMode.DIRECT)
_ROOT: Final = RootFacts(directory="/", passwd=None, group=None, program=None)
_ID: Final = "rehearsal"

# What a job asks for by name most often, each small enough to be granted wherever it works at all.
_MEMORY_BYTES: Final = 64 << 20
_CPUS: Final = 0.5
_PIDS: Final = 64
_DEVICES: Final = ("/dev/fuse", "/dev/net/tun")


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what would become of it.

    ``resolution`` is None when the environment was not observed far enough; ``unobserved`` then
    says what is missing.
    """

    label: str  # "privileged", "--userns auto"
    resolution: Resolution | None
    unobserved: tuple[Subject, ...] = ()
    by_name: bool = False  # it asks by flags, rather than by what a profile implies


def plain_request(profile: str) -> RunRequest:
    """Return the request of ``nestbox run --profile NAME -- true`` on the present root."""
    if profile == "privileged":
        return RunRequest(argv=("true",), root=_HOST, privileged=True)
    return RunRequest(argv=("true",), root=_HOST, profile=profile)


def rehearse(
    environment: OuterEnvironment, shipped: Shipped, *, flags: bool = True
) -> tuple[Rehearsal, ...]:
    """Return what a plain launch of each profile would get, and the common flags on the default."""
    plain = [
        _rehearse(profile.name, plain_request(profile.name), profile, environment, shipped)
        for profile in shipped.profiles
    ]
    base = next((one for one in shipped.profiles if one.name == "default"), None)
    if base is None or not flags:
        return tuple(plain)
    named = [
        _rehearse(label, request, base, environment, shipped)
        for label, request in _by_name(plain_request(base.name)).items()
    ]
    return (*plain, *(msgspec.structs.replace(one, by_name=True) for one in named))


def _by_name(base: RunRequest) -> dict[str, RunRequest]:
    """Return the requests that ask for things by flags, each with a label."""
    devices = tuple(
        DeviceRequest(source=path, target=path, access="rwm", asked_by=f"--device {path}")
        for path in _DEVICES
    )
    return {
        "flags": msgspec.structs.replace(
            base, memory_bytes=_MEMORY_BYTES, cpus=_CPUS, pids_limit=_PIDS, devices=devices
        ),
        "--network private": msgspec.structs.replace(base, network="private"),
        "--userns auto": msgspec.structs.replace(base, user_namespace="auto"),
    }


def _rehearse(
    label: str,
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    shipped: Shipped,
) -> Rehearsal:
    unobserved = required_subjects(request, profile, environment) - observed(environment)
    if unobserved:
        missing = tuple(subject for subject in Subject if subject in unobserved)
        return Rehearsal(label=label, resolution=None, unobserved=missing)
    resolution = resolve(
        request,
        profile,
        environment,
        _ROOT,
        container_id=_ID,
        seccomp_profile=shipped.filters.get(wanted_seccomp(request, profile)),
    )
    return Rehearsal(label=label, resolution=resolution)


def wanted_subjects(environment: OuterEnvironment, shipped: Shipped) -> frozenset[Subject]:
    """Return what the plain launches need to know, as far as what is known already can tell.

    And who took what is missing, which the words of a finding need.
    """
    return frozenset({Subject.ANCESTRY, Subject.ENGINE}).union(
        *(
            required_subjects(plain_request(profile.name), profile, environment)
            for profile in shipped.profiles
        )
    )


def observed(environment: OuterEnvironment) -> frozenset[Subject]:
    """Return the subjects that an environment has."""
    return frozenset(
        subject for subject in Subject if getattr(environment, subject.value) is not None
    )
