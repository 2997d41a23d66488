"""The environments of tests/root/nesting as recordings: the same requests, the same golden texts.

A recording is made where its environment is made for real, and decided about here without root.
"""

from __future__ import annotations

from functools import cache

import pytest

from nestbox.cli.run import command
from nestbox.flags.request import LaunchFlags, request_of
from nestbox.outer.facts import OuterEnvironment, RootFacts, Subject
from nestbox.outer.recording import load
from nestbox.policy.decision import Outcome
from nestbox.policy.kernel_calls import calls_refusal
from nestbox.policy.profile import Profile
from nestbox.policy.request import RunRequest
from nestbox.policy.resolution import refusal
from nestbox.policy.resolve import Resolution, required_subjects, resolve
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.runtime.context import Context
from tests.policy.surroundings import change
from tests.policy.test_resolve import seccomp_of
from tests.root.nesting.catalogue import BY_NAME
from tests.root.nesting.goldens import GOLDEN, REFERENCE, file_of
from tests.root.nesting.matrix import sections
from tests.root.nesting.recordings import file_of as recording_of
from tests.root.nesting.requests import ASKED, DEFAULT, Ask
from tests.root.nesting.telling import Refusal, Told

_RECORDED = sorted(name for name in BY_NAME if recording_of(name).exists())
_ROOT = RootFacts(
    directory="/tmp/image",
    passwd="root:x:0:0:root:/:/bin/sh\n",
    group="root:x:0:\n",
    program=None,
)
_REASONS = (Subject.ANCESTRY, Subject.ENGINE)
_LESS = frozenset({Outcome.WEAKENED, Outcome.REFUSED})


@cache
def recorded(name: str) -> OuterEnvironment:
    return load(recording_of(name).read_bytes())


def request_from(ask: Ask) -> RunRequest:
    """Return the request of a command line."""
    flags = dict(command.make_context("run", list(ask.words)).params)
    own = {key: flags[key] for key in LaunchFlags.__annotations__}
    context = Context(
        directory="/", environment={}, stdin=0, stdout=1, stderr=2, root="/run", storage="/var"
    )
    return request_of(own, context)


def decide(ask: Ask, environment: OuterEnvironment) -> Resolution:
    """Resolve with the subjects that a launch would observe, and who took what, if anything."""
    request = request_from(ask)
    profile = load_shipped("privileged" if request.privileged else request.profile or "default")
    assert profile is not None
    seen = OuterEnvironment()
    while True:
        needed = required_subjects(request, profile, seen)
        more = change(seen, **{one.value: getattr(environment, one.value) for one in needed})
        if more == seen:
            break
        seen = more
    resolution = _resolve(request, profile, seen)
    if any(one.outcome in _LESS for one in resolution.capabilities.decisions):
        reasons = {one.value: getattr(environment, one.value) for one in _REASONS}
        resolution = _resolve(request, profile, change(seen, **reasons))
    return resolution


def _resolve(request: RunRequest, profile: Profile, environment: OuterEnvironment) -> Resolution:
    return resolve(
        request,
        profile,
        environment,
        _ROOT,
        container_id="0123456789ab",
        seccomp_profile=seccomp_of(request, profile),
    )


def told(ask: Ask, environment: OuterEnvironment) -> Told:
    assert environment.seccomp is not None
    if not environment.seccomp.syscalls["openat2"].works:
        # No root can be looked at, which is where a launch ends.
        error = calls_refusal(environment)
        assert error is not None
        return Told(refused=Refusal(what=error.what, cause=error.cause, remedy=error.remedy))
    resolution = decide(ask, environment)
    error = refusal(resolution)
    return Told(
        decisions=resolution.decisions,
        capabilities=resolution.capabilities.decisions,
        refused=error and Refusal(what=error.what, cause=error.cause, remedy=error.remedy),
    )


def test_every_environment_is_recorded() -> None:
    assert sorted(name for name, one in BY_NAME.items() if not one.needs) == _RECORDED


@pytest.mark.parametrize("name", _RECORDED)
def test_a_recording_gives_the_decisions_of_the_real_environment(name: str) -> None:
    golden = sections(file_of(name, REFERENCE).read_text())
    plain = set(told(DEFAULT, recorded(name)).lines())
    for ask in ASKED:
        if ask.rootfs == "host" or "--sysctl" in ask.flags:
            continue  # what is in the present root, or comes of a trial, is in no recording
        lines = told(ask, recorded(name)).lines()
        assert golden[ask.title] == ask.shown(lines, plain), ask.title


def test_every_text_is_of_an_environment() -> None:
    texts = {file.stem.partition("@")[0] for file in GOLDEN.glob("*.txt")}
    assert texts == set(BY_NAME)
