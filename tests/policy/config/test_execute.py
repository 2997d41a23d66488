"""Another program in a running container: judged as its first one, in its namespaces."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import ConfigError, UsageError
from nestbox.oci.config import Config
from nestbox.outer.facts import IdMap, Limit, OuterEnvironment, RootFacts
from nestbox.policy.config.execute import ContainerFacts, resolve_exec
from nestbox.policy.config.resolution import ExecResolution
from nestbox.policy.config.subjects import required_subjects_exec
from nestbox.policy.resolution import refusal
from tests.policy.config.cases import OPTIONS, spec, with_user
from tests.policy.surroundings import (
    ALL,
    ROOT,
    change,
    full_root,
    reference_machine,
    rights,
    without,
)

ROWS = (IdMap(inside=0, outside=100000, count=65536),)


def execute(
    container: Config,
    environment: OuterEnvironment | None = None,
    *,
    facts: dict[str, Any] | None = None,
    **fields: Any,
) -> ExecResolution:
    outer = environment or full_root()
    asked = spec(**{f"process__{name}": value for name, value in fields.items()}).process
    seen = OuterEnvironment()
    while True:
        needed = required_subjects_exec(container, asked, seen)
        found = {one.value: getattr(outer, one.value) for one in needed}
        if change(seen, **found) == seen:
            break
        seen = change(seen, **found)
    root: RootFacts = ROOT
    inside = ContainerFacts(config=container, root=root, **(facts or {}))
    return resolve_exec(asked, inside, OPTIONS, seen)


def test_a_program_has_the_containers_filter_and_its_own_processors() -> None:
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW"}
    container = spec(linux__seccomp=seccomp, linux__personality={"domain": "LINUX32"})
    found = execute(container, execCPUAffinity={"initial": "0-1", "final": "1,3"})
    assert found.process is not None
    assert found.seccomp == container.linux.seccomp
    assert (found.initial_affinity, found.process.affinity) == ((0, 1), (1, 3))
    assert found.process.personality == 8
    assert found.new_keyring


@pytest.mark.parametrize(
    ("asked", "processors"),
    [
        (None, ()),
        ({}, ()),
        ({"initial": "0"}, None),
        ({"final": "1"}, (1,)),
    ],
)
def test_a_program_runs_on_all_processors_unless_some_are_asked_for(
    asked: dict[str, str] | None, processors: tuple[int, ...] | None
) -> None:
    found = execute(spec(), execCPUAffinity=asked)
    assert found.process is not None
    assert found.process.affinity == processors


def test_its_variables_and_ids_are_its_own() -> None:
    found = execute(spec(), args=["id"], env=["PATH=/x"], user={"uid": 1001, "gid": 5}, cwd="/w")
    assert found.process is not None
    assert found.process.environment == ("PATH=/x", "HOME=/home/alice")
    assert found.process.candidates == ("/x/id",)
    assert (found.process.uid, found.process.gid) == (1001, 5)


def test_what_cannot_be_given_is_left_out_with_warnings() -> None:
    outer = change(
        reference_machine(),
        capabilities=rights(without(ALL, "CAP_SYS_BOOT", "CAP_SYS_RESOURCE")),
    )
    many = [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}]
    asked: dict[str, Any] = {"capabilities": {"bounding": ["CAP_SYS_BOOT"]}, "rlimits": many}
    found = execute(spec(), outer, **asked)
    assert found.process is not None
    assert found.process.rlimits == (("RLIMIT_NOFILE", Limit(soft=20000, hard=20000)),)
    assert len(found.warnings) == 2
    strict = execute(spec(annotations={"org.nestbox.strict": "true"}), outer, **asked)
    assert strict.process is None
    assert "CAP_SYS_BOOT" in str(refusal(strict))


def test_in_a_user_namespace_the_ids_are_those_of_the_container() -> None:
    facts = {"uid_map": ROWS, "gid_map": ROWS}
    found = execute(with_user(), facts=facts, capabilities={"bounding": ["CAP_SYS_BOOT"]})
    assert found.capabilities.sets.bounding == 1 << 22
    with pytest.raises(UsageError, match="unmapped uid 70000"):
        execute(with_user(), facts=facts, user={"uid": 70000, "gid": 0})


def test_where_setgroups_is_denied_the_groups_are_kept() -> None:
    found = execute(with_user(), facts={"uid_map": ROWS, "gid_map": ROWS, "setgroups_denied": True})
    assert found.process is not None
    assert found.process.groups is None


def test_a_malformed_process_is_refused() -> None:
    with pytest.raises(ConfigError, match="args"):
        execute(spec(), args=[])


def test_the_keyring_of_the_container_is_kept_when_asked() -> None:
    options = msgspec.structs.replace(OPTIONS, no_new_keyring=True)
    container = ContainerFacts(config=spec(), root=ROOT)
    assert not resolve_exec(spec().process, container, options, full_root()).new_keyring
