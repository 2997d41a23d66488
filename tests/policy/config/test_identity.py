"""The ids of the program: set as asked, or refused in the kernel's words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import UsageError
from nestbox.outer.facts import OuterEnvironment
from tests.policy.config.cases import decide, launch, rootless_spec, spec, with_user
from tests.policy.surroundings import ALL, change, full_root, rights, unprivileged_user, without


def user(uid: int = 0, gid: int = 0, **more: Any) -> dict[str, Any]:
    return {"uid": uid, "gid": gid, **more}


def test_user_group_groups_and_umask_are_those_of_the_configuration() -> None:
    asked = user(1000, 50, additionalGids=[5, 6, 5], umask=0o77)
    process = launch(spec(process__user=asked)).process
    assert (process.uid, process.gid, process.groups) == (1000, 50, (5, 6))
    assert process.umask == 0o77
    assert process.own_streams


def test_without_groups_none_are_left_and_the_umask_is_the_usual_one() -> None:
    process = launch(spec()).process
    assert (process.groups, process.umask) == ((), 0o022)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (user(70000), "cannot setuid to unmapped uid 70000 in user namespace"),
        (user(0, 70000), "cannot setgid to unmapped gid 70000 in user namespace"),
        (user(additionalGids=[3, 70000]), "additional groups 70000"),
    ],
)
def test_ids_that_the_user_namespace_lacks_are_refused(asked: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        launch(with_user(process__user=asked))


@pytest.mark.parametrize(
    ("lacks", "asked"), [("CAP_SETUID", user(1000)), ("CAP_SETGID", user(0, 50))]
)
def test_without_the_right_to_change_ids_they_are_refused(lacks: str, asked: Any) -> None:
    outer = change(full_root(), capabilities=rights(without(ALL, lacks)))
    with pytest.raises(UsageError, match=f"operation not permitted: {lacks}"):
        launch(spec(process__user=asked), outer)


def in_one_id(**changes: Any) -> Any:
    row = [{"containerID": 0, "hostID": 1000, "size": 1}]
    config = rootless_spec(linux__uidMappings=row, linux__gidMappings=row, **changes)
    kept = tuple(one for one in config.mounts if one.destination != "/dev/pts")
    return msgspec.structs.replace(config, mounts=kept)


def test_where_groups_cannot_be_set_they_are_left_out_with_a_warning() -> None:
    resolution = decide(in_one_id(process__user=user(additionalGids=[5])), unprivileged_user())
    assert resolution.launch is not None
    assert resolution.launch.process.groups is None
    assert any("groups 5" in line for line in resolution.warnings)


def test_the_strict_annotation_refuses_groups_that_cannot_be_set() -> None:
    asked = in_one_id(
        process__user=user(additionalGids=[5]), annotations={"org.nestbox.strict": "true"}
    )
    assert decide(asked, unprivileged_user()).launch is None


def test_groups_that_are_denied_outside_are_kept() -> None:
    outer: OuterEnvironment = full_root()
    assert outer.user_namespace is not None
    denied = msgspec.structs.replace(outer.user_namespace, setgroups_denied=True)
    assert launch(spec(), change(outer, user_namespace=denied)).process.groups is None
