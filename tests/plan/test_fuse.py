"""The steps to fuse-overlayfs: where it runs, and what it is given."""

from __future__ import annotations

from nestbox.executor.encode import encode
from nestbox.plan import steps as s
from nestbox.plan.fuse import HANDED, compile_fuse
from nestbox.policy.launch_spec import FuseSpec

PROGRAM = "/usr/bin/fuse-overlayfs"


def plan(*, user: bool = False, roots: bool = False) -> s.LaunchPlan:
    spec = FuseSpec(program=PROGRAM, user_namespace=user, all_roots=roots)
    where = "/proc/7/ns/user" if user else ""
    return compile_fuse(spec, user_namespace=where, files_limit=None)


def test_it_is_executed_with_descriptors_and_no_variable_of_ours() -> None:
    last = plan().steps[-1]
    assert isinstance(last, s.Exec)
    assert last.candidates == (PROGRAM,)
    assert last.environment == ()
    assert last.argv[-1] == "/dev/fd/3"
    for number in range(4, 3 + HANDED):
        assert f"/proc/self/fd/{number}" in last.argv[3]
    assert s.Preserve(count=HANDED) in plan().steps


def test_it_is_in_the_user_namespace_of_the_container_and_in_no_other_namespace_of_it() -> None:
    joined = [step for step in plan(user=True).steps if isinstance(step, s.OpenNamespace)]
    assert [(step.namespace, step.path) for step in joined] == [("user", "/proc/7/ns/user")]
    assert not [step for step in plan().steps if isinstance(step, s.OpenNamespace)]
    assert plan(user=True).namespaces == ()


def test_it_dies_with_us_though_a_change_of_ids_clears_that() -> None:
    kinds = [type(step) for step in plan(user=True).steps]
    assert kinds.index(s.ParentDeath) > kinds.index(s.Ids)


def test_owners_are_hidden_only_where_that_was_chosen() -> None:
    hides, shows = plan(roots=True).steps[-1], plan().steps[-1]
    assert isinstance(hides, s.Exec)
    assert isinstance(shows, s.Exec)
    assert "squash_to_root" in hides.argv[3]
    assert "squash_to_root" not in shows.argv[3]


def test_it_can_be_encoded() -> None:
    assert encode(plan(user=True, roots=True))
