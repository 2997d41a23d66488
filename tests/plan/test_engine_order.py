"""The order of what engines ask for: namespaces that are joined, hooks, the wait for the start."""

from __future__ import annotations

import msgspec
from hypothesis import given

from nestbox.executor.encode import encode
from nestbox.plan import steps as s
from nestbox.plan.compile import compile_plan
from nestbox.plan.render import describe
from tests.executor.model import is_well_formed
from tests.plan.launches import (
    FILTER,
    PLAIN,
    engine_launches,
    engine_plans,
    exec_plans,
    exec_specs,
    plan_of,
)
from tests.plan.test_compile import only, places


def joined_names(launch) -> set[str]:
    return {join.namespace for join in launch.joined}


@given(engine_plans)
def test_any_plan_of_an_engine_encodes_and_reads(plan):
    assert is_well_formed(encode(plan))
    assert all(describe(step).strip() for step in plan.steps)


@given(exec_plans)
def test_any_plan_of_one_more_process_encodes_and_reads(plan):
    assert is_well_formed(encode(plan))
    assert plan.namespaces == ()
    assert all(describe(step).strip() for step in plan.steps)


@given(engine_launches)
def test_each_namespace_is_made_or_joined_once(launch):
    plan = plan_of(launch)
    made = [name for x in plan.steps if isinstance(x, s.Unshare) for name in x.namespaces]
    assert sorted([*plan.namespaces, *made]) == sorted(launch.namespaces)
    opened = [x.namespace for x in plan.steps if isinstance(x, s.OpenNamespace)]
    assert sorted(opened) == sorted(joined_names(launch))
    assert len(places(plan, s.JoinNamespaces)) == bool(launch.joined)


@given(engine_launches)
def test_namespaces_are_opened_before_any_path_changes_its_meaning(launch):
    plan = plan_of(launch)
    last = max(places(plan, s.OpenNamespace), default=-1)
    changes = (s.JoinNamespaces, s.Unshare, s.Propagation, s.AttachRoot, s.Attach, s.Fork)
    assert all(last < place for place in places(plan, *changes))


@given(engine_launches)
def test_what_is_made_belongs_to_the_user_namespace_of_the_container(launch):
    plan = plan_of(launch)
    enters = places(plan, s.JoinNamespaces) if "user" in joined_names(launch) else []
    enters += [
        i for i, x in enumerate(plan.steps) if isinstance(x, s.Unshare) and "user" in x.namespaces
    ]
    if enters:
        assert plan.namespaces == ()
        later = [i for i in places(plan, s.Unshare) if i not in enters]
        assert all(max(enters) < place for place in later)
    if "user" in launch.namespaces and launch.joined:
        # With the rights that end there.
        assert only(plan, s.JoinNamespaces) < min(enters)


@given(engine_launches)
def test_a_namespace_that_is_only_born_into_is_entered_by_a_child(launch):
    plan = plan_of(launch)
    later = {name for x in plan.steps if isinstance(x, s.Unshare) for name in x.namespaces}
    # A joined time namespace is entered at once.
    born = ({"pid"} & joined_names(launch)) | ({"pid", "time"} & later)
    forks = places(plan, s.Fork)
    if born:
        fork = only(plan, s.Fork)
        assert "pid" not in plan.namespaces
        assert all(
            i < fork
            for i, x in enumerate(plan.steps)
            if isinstance(x, s.JoinNamespaces | s.TimeOffsets)
            or (isinstance(x, s.Unshare) and x.namespaces != ("cgroup",))
        )
        # A child does not have its parent's signal of death, and is what hooks are told of.
        others = (s.ParentDeath, s.Keyring, s.Hook, s.Propagation, s.NewFs)
        assert all(fork < place for place in places(plan, *others))
    else:
        assert forks == []


@given(engine_launches)
def test_the_maps_are_written_while_the_runtime_can_and_others_cannot_see(launch):
    plan = plan_of(launch)
    closed = only(plan, s.Dumpable)
    maps = [i for i, x in enumerate(plan.steps) if x == s.Sync(reason=s.SYNC_ID_MAPS)]
    assert len(maps) == ("user" in launch.namespaces)
    assert all(place < closed for place in maps)
    assert all(closed < place for place in places(plan, s.Fork, s.Propagation, s.Hook))
    if "user" not in launch.namespaces:
        assert all(closed < place for place in places(plan, s.JoinNamespaces))


@given(engine_launches)
def test_hooks_run_when_all_is_mounted_and_before_and_after_the_root_is_entered(launch):
    plan = plan_of(launch)
    enter = only(plan, s.Chroot if launch.root.entry == "move" else s.Pivot)
    create = [i for i in places(plan, s.Hook) if plan.steps[i].kind == "createContainer"]
    start = [i for i in places(plan, s.Hook) if plan.steps[i].kind == "startContainer"]
    assert len(create) == len(launch.create_hooks)
    assert all(place < enter for place in create)
    asks = [i for i, x in enumerate(plan.steps) if x == s.Sync(reason=s.SYNC_RUNTIME_HOOKS)]
    assert len(asks) == bool(launch.create_hooks or launch.runtime_hooks)
    # The answer brings the state, so nothing may be asked between.
    waits = [i for i in places(plan, s.Sync, s.Receive) if create and asks[0] < i < max(create)]
    assert waits == []
    assert all(asks[0] < place for place in create)
    for place in places(plan, s.MakeDevice, s.CopyUp):
        assert all(place < hook for hook in create)
    assert all(asks[0] < place for place in places(plan, s.Mask) if asks)
    waiting = places(plan, s.WaitForStart)
    assert len(waiting) == launch.wait_for_start
    assert len(start) == len(launch.start_hooks)
    assert all(max([enter, *waiting]) < place < only(plan, s.Verify) for place in start)


@given(engine_launches)
def test_a_created_container_waits_with_all_rights_given_up(launch):
    plan = plan_of(launch)
    for wait in places(plan, s.WaitForStart):
        rights = (s.Ids, s.Capset, s.Ambient, s.DropBounding, s.NoNewPrivs, s.Label)
        assert all(place < wait for place in places(plan, *rights))
        # After that only what was asked for happens: no way to the host is left open.
        rest = {type(step) for step in plan.steps[wait + 1 :]}
        assert rest <= {s.Hook, s.Preserve, s.Verify, s.LoadSeccomp, s.Exec}
        assert isinstance(plan.steps[wait - 1], s.FindProgram)


@given(engine_plans)
def test_the_callers_descriptors_are_placed_when_no_others_are_used_any_more(plan):
    for place in places(plan, s.Preserve):
        rest = {type(step) for step in plan.steps[place + 1 :]}
        assert rest <= {s.Verify, s.LoadSeccomp, s.Exec}


@given(engine_plans)
def test_labels_are_written_before_a_filter_can_stand_in_the_way(plan):
    filters = places(plan, s.LoadSeccomp)
    assert all(place < min(filters) for place in places(plan, s.Label) if filters)


@given(engine_launches)
def test_nothing_is_attached_to_a_tree_that_others_share(launch):
    plan = plan_of(launch)
    shared = launch.root.outer_propagation == "rshared"
    in_place = shared or launch.runtime_hooks or launch.create_hooks
    over = {x.path for x in plan.steps if isinstance(x, s.AttachRoot)}
    if in_place:
        assert over == {launch.root.directory}
        assert only(plan, s.PrivateParent) < min(places(plan, s.AttachRoot))
    moves = [x.move for x in plan.steps if isinstance(x, s.Chroot)]
    assert all(move == (over != {"/"}) for move in moves)
    # The root is copied before the scratch file system covers it.
    root = [i for i, x in enumerate(plan.steps) if isinstance(x, s.OpenTree) and x.slot == 0]
    if over != {"/"}:
        assert root[0] < min(places(plan, s.AttachRoot))


@given(engine_launches)
def test_the_kernel_is_told_through_a_proc_that_is_known(launch):
    plan = plan_of(launch)
    enter = only(plan, s.Chroot if launch.root.entry == "move" else s.Pivot)
    opened = {
        step.slot if not isinstance(step, s.KeepSlot) else step.target
        for step in plan.steps[:enter]
        if isinstance(step, s.NewFs | s.OpenDirectory | s.KeepSlot)
    }
    for step in plan.steps[enter:]:
        if isinstance(step, s.Label | s.ProcWrite):
            assert step.base == s.SLOT_OWN_PROC
            assert s.SLOT_OWN_PROC in opened


@given(engine_launches)
def test_limits_of_the_whole_machine_are_set_before_another_user_namespace_is_entered(launch):
    plan = plan_of(launch)
    enters = places(plan, s.JoinNamespaces) if "user" in joined_names(launch) else []
    enters += [
        i for i, x in enumerate(plan.steps) if isinstance(x, s.Unshare) and "user" in x.namespaces
    ]
    if not enters:
        return
    early = [x for x in plan.steps[: min(enters)] if isinstance(x, s.Rlimit)]
    assert {x.name for x in early} == {name for name, _ in launch.process.rlimits}
    scores = [
        i
        for i, x in enumerate(plan.steps)
        if isinstance(x, s.ProcWrite) and x.path == "self/oom_score_adj"
    ]
    assert all(place < min(enters) for place in scores)


@given(exec_specs)
def test_one_more_process_is_closed_to_the_container_before_it_is_in_it(spec):
    from nestbox.plan.compile_exec import compile_exec

    plan = compile_exec(
        spec, seccomp=FILTER, last_capability=40, foreground=True, wait_for_cgroup=True
    )
    closed = only(plan, s.Dumpable)
    assert all(closed < place for place in places(plan, s.JoinNamespaces, s.Fork))
    assert isinstance(plan.steps[-1], s.Exec)
    forks = "pid" in {join.namespace for join in spec.joined}
    assert len(places(plan, s.Fork)) == forks
    moved = plan.steps.index(s.Sync(reason=s.SYNC_CGROUP))
    assert all(place < moved for place in places(plan, s.Fork))
    assert all(moved < place for place in places(plan, s.Console, s.Session, s.Capset))


def test_without_a_mount_namespace_nothing_of_others_is_changed():
    root = msgspec.structs.replace(PLAIN.root, entry="chroot")
    launch = msgspec.structs.replace(
        PLAIN,
        namespaces=("pid",),
        root=root,
        mounts=(),
        masked_paths=(),
        readonly_paths=(),
        devices=(),
        device_links=(),
        files=(),
        sysctls=(),
    )
    plan = compile_plan(
        launch, seccomp=None, last_capability=40, foreground=False, wait_for_cgroup=False
    )
    changing = (s.Propagation, s.Attach, s.SetAttr, s.Pivot, s.NewFs, s.PrivateParent, s.Uncover)
    assert places(plan, *changing) == []
    # One mount, in its own place.
    assert plan.steps[only(plan, s.AttachRoot)].path == root.directory
    assert plan.steps[only(plan, s.Chroot)] == s.Chroot(move=False)
