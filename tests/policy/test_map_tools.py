"""What disarms newuidmap and newgidmap is found before a launch, with what to do about it."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import Engine, EngineKind, MapTool, OuterEnvironment
from nestbox.policy.map_tools import tools_problem
from tests.policy.surroundings import change, unprivileged_user, without

BY_ROOT = MapTool(setuid=0, file_permitted=0, nosuid=False)
NEITHER = MapTool(setuid=None, file_permitted=0, nosuid=False)


def by_file(*names: str) -> MapTool:
    mask = sum(1 << BY_NAME[name] for name in names)
    return MapTool(setuid=None, file_permitted=mask, nosuid=False)


def armed(
    uids: MapTool | None = BY_ROOT, gids: MapTool | None = BY_ROOT, **fields: object
) -> OuterEnvironment:
    environment = unprivileged_user()
    given = {
        "newuidmap": "/usr/bin/newuidmap",
        "newgidmap": "/usr/bin/newgidmap",
        "newuidmap_rights": uids,
        "newgidmap_rights": gids,
    }
    tools = msgspec.structs.replace(environment.tools, **(given | fields))
    return change(environment, tools=tools)


def with_rights(environment: OuterEnvironment, **fields: object) -> OuterEnvironment:
    assert environment.capabilities is not None
    rights = msgspec.structs.replace(environment.capabilities, **fields)
    return change(environment, capabilities=rights)


def bounded(environment: OuterEnvironment, *lost: str) -> OuterEnvironment:
    assert environment.capabilities is not None
    sets = environment.capabilities.sets
    cut = msgspec.structs.replace(sets, bounding=without(sets.bounding, *lost))
    return with_rights(environment, sets=cut)


def test_set_user_id_root_and_file_capabilities_both_do() -> None:
    assert tools_problem(armed()) is None
    assert tools_problem(armed(by_file("CAP_SETUID"), by_file("CAP_SETGID"))) is None


def test_programs_that_were_not_looked_at_are_believed() -> None:
    assert tools_problem(armed(None, None)) is None


@pytest.mark.parametrize("name", ["newuidmap", "newgidmap"])
def test_a_missing_program_is_named_with_its_package(name: str) -> None:
    environment = armed(**{name: None})
    problem = tools_problem(environment)
    assert problem is not None
    assert problem[0] == f"{name} is not on PATH"
    assert "uidmap" in problem[1]


def test_no_new_privs_disarms_them() -> None:
    problem = tools_problem(with_rights(armed(), no_new_privs=True))
    assert problem is not None
    assert "no_new_privs" in problem[0]


def test_in_a_pod_the_setting_that_sets_no_new_privs_is_named() -> None:
    pod = Engine(kind=EngineKind.KUBERNETES, evidence=(), runner=None)
    problem = tools_problem(change(with_rights(armed(), no_new_privs=True), engine=pod))
    assert problem is not None
    assert problem[1] == "set in the pod: securityContext.allowPrivilegeEscalation: true"


@pytest.mark.parametrize(
    ("environment", "cause", "remedy"),
    [
        (armed(NEITHER), "neither set-user-ID root", "chmod u+s /usr/bin/newuidmap"),
        (armed(gids=NEITHER), "neither set-user-ID root", "chmod u+s /usr/bin/newgidmap"),
        (armed(by_file("CAP_SETGID")), "cap_setuid", "chmod u+s /usr/bin/newuidmap"),
        (
            armed(MapTool(setuid=1000, file_permitted=0, nosuid=False)),
            "neither set-user-ID root",
            "chmod",
        ),
        (armed(MapTool(setuid=0, file_permitted=0, nosuid=True)), "nosuid", "remount"),
        (bounded(armed(), "CAP_SETUID"), "CAP_SETUID is not in the outer bounding", "CAP_SETUID"),
        (bounded(armed(), "CAP_SETGID"), "CAP_SETGID is not in the outer bounding", "CAP_SETGID"),
        (with_rights(armed(), securebits=1), "neither set-user-ID root", "chmod"),
        (armed(account=False), "no entry in the user database", "/etc/passwd"),
    ],
)
def test_whatever_disarms_one_of_them_is_named(
    environment: OuterEnvironment, cause: str, remedy: str
) -> None:
    problem = tools_problem(environment)
    assert problem is not None
    assert cause in problem[0]
    assert remedy in problem[1]


def test_file_capabilities_work_where_root_has_no_special_rights() -> None:
    environment = armed(by_file("CAP_SETUID"), by_file("CAP_SETGID"))
    assert tools_problem(with_rights(environment, securebits=1)) is None
