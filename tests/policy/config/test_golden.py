"""What engines write, decided in recorded environments: text that can be read and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from nestbox.errors import NestboxError
from nestbox.outer.facts import OuterEnvironment
from nestbox.policy.config.resolution import ConfigResolution
from nestbox.policy.decision import Outcome
from nestbox.policy.launch_spec import LaunchSpec
from nestbox.policy.resolution import refusal
from tests.policy.config.cases import decide, engine, equipped
from tests.policy.surroundings import (
    docker_container,
    full_root,
    privileged_docker,
    reference_machine,
    unprivileged_user,
)

GOLDEN = Path(__file__).parent / "golden"
CONFIGS = ("spec", "docker", "podman", "cri", "everything")
ENVIRONMENTS: dict[str, Callable[[], OuterEnvironment]] = {
    "full-root": full_root,
    "reference-machine": reference_machine,
    "docker-container": docker_container,
    "privileged-docker": privileged_docker,
    "unprivileged-user": unprivileged_user,
}


def fields_of(value: msgspec.Struct) -> str:
    """Return the fields of a value that are not as by default, without what comes first."""
    defaults = dict(
        zip(value.__struct_fields__[::-1], value.__struct_defaults__[::-1], strict=False)
    )
    parts = []
    for name in value.__struct_fields__:
        content = getattr(value, name)
        if content not in (defaults.get(name, ()), (), "", None, False, {}):
            parts.append(f"{name}={msgspec.json.encode(content).decode()}")
    return " ".join(parts)


def lines_of(launch: LaunchSpec) -> Iterator[str]:
    yield f"process {fields_of(launch.process)}"
    yield f"root {fields_of(launch.root)}"
    yield from (f"mount {fields_of(one)}" for one in launch.mounts)
    yield from (f"device {fields_of(one)}" for one in launch.devices)
    yield from (f"finally {fields_of(one)}" for one in launch.final_mounts)
    inner = ("process", "root", "mounts", "devices", "final_mounts", "seccomp")
    yield from (
        f"{key} {msgspec.json.encode(value).decode()}"
        for key, value in msgspec.structs.asdict(launch).items()
        if key not in inner and value not in (None, False, (), "")
    )


def text_of(resolution: ConfigResolution) -> str:
    lines = [
        f"{one.subject} | {one.request} | {one.asked_by} | {one.outcome} | {one.chosen}"
        + (f" | {one.cause} | {one.remedy}" if one.cause else "")
        for one in resolution.decisions
    ]
    lines += [f"warning: {line}" for line in resolution.warnings]
    lines += [f"refused: {error}" for error in (refusal(resolution),) if error]
    return "\n".join([*lines, *(lines_of(resolution.launch) if resolution.launch else ()), ""])


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("config", CONFIGS)
def test_decisions_are_those_of_the_golden_text(config: str, name: str) -> None:
    try:
        text = text_of(decide(engine(config), equipped(ENVIRONMENTS[name]())))
    except NestboxError as error:
        text = f"{type(error).__name__}: {error}\n"
    file = GOLDEN / f"{config}.{name}.txt"
    if os.environ.get("NESTBOX_UPDATE_GOLDEN") == "1":
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", ["full-root", "reference-machine", "privileged-docker"])
@pytest.mark.parametrize("config", CONFIGS)
def test_the_same_values_give_the_same_answer(config: str, name: str) -> None:
    environment = equipped(ENVIRONMENTS[name]())
    assert decide(engine(config), environment) == decide(engine(config), environment)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_weaker_decision_has_a_warning_with_its_cause(config: str) -> None:
    resolution = decide(engine(config), equipped(reference_machine()))
    for one in resolution.decisions:
        if one.outcome is Outcome.WEAKENED:
            assert one.remedy
            assert any(one.subject in line and one.cause in line for line in resolution.warnings)
