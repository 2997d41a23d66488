"""The order of a launch: what has to come before what, whatever is launched."""

from __future__ import annotations

import msgspec
from hypothesis import assume, given

from nestbox.plan import steps as s
from nestbox.plan.compile import compile_plan
from nestbox.plan.steps import (
    SYNC_CGROUP,
    SYNC_ID_MAPS,
    SYNC_LEAF,
    SYNC_NETWORK,
    SYNC_NETWORK_NAMESPACE,
)
from nestbox.policy.launch_spec import CgroupSpec
from tests.plan.launches import FILTER, PLAIN, filters, launches, plan_of, plans


def places(plan: s.LaunchPlan, *kinds: type[s.Step]) -> list[int]:
    """Return the numbers of the steps of these kinds."""
    return [i for i, step in enumerate(plan.steps) if isinstance(step, kinds)]


def only(plan: s.LaunchPlan, kind: type[s.Step]) -> int:
    """Return the number of the one step of a kind."""
    (place,) = places(plan, kind)
    return place


def before(plan: s.LaunchPlan, kind: type[s.Step], place: int) -> bool:
    return all(i < place for i in places(plan, kind))


@given(launches, filters)
def test_the_same_launch_compiles_to_the_same_plan(launch, seccomp):
    assert plan_of(launch, seccomp=seccomp) == plan_of(launch, seccomp=seccomp)


@given(plans)
def test_a_plan_ends_in_its_only_exec_and_reads_the_sets_just_before(plan):
    assert isinstance(plan.steps[-1], s.Exec)
    # A filter changes no set, and may forbid to read them.
    assert {type(step) for step in plan.steps[only(plan, s.Verify) + 1 : -1]} <= {s.LoadSeccomp}
    assert len(places(plan, s.Exec, s.Verify)) == 2


@given(launches)
def test_id_maps_come_first_of_all_and_only_with_a_user_namespace(launch):
    plan = plan_of(launch)
    waits = [x.reason for x in plan.steps if isinstance(x, s.Sync)]
    if "user" in launch.namespaces:
        assert plan.steps[0] == s.Sync(reason=SYNC_ID_MAPS)
        # The network is opened in between.
        assert isinstance(plan.steps[1 if launch.network is None else 2], s.Ids)
    assert waits.count(SYNC_ID_MAPS) == ("user" in launch.namespaces)


@given(launches)
def test_the_process_is_closed_to_others_before_anything_is_mounted(launch):
    plan = plan_of(launch)
    closed = only(plan, s.Dumpable)
    assert plan.steps[closed] == s.Dumpable(value=0)
    assert closed < min(places(plan, s.Propagation, s.NewFs, s.OpenTree, s.OpenDirectory))


@given(plans)
def test_the_tree_is_cut_off_before_the_first_mount(plan):
    cut = only(plan, s.Propagation)
    assert plan.steps[cut] == s.Propagation(propagation="slave")
    assert cut < min(places(plan, s.NewFs, s.OpenTree, s.AttachRoot, s.Attach))


@given(plans)
def test_nothing_is_mounted_or_opened_after_the_root_was_entered(plan):
    pivot = only(plan, s.Pivot)
    outer = (
        *(s.NewFs, s.OpenTree, s.SetAttr, s.Attach, s.AttachRoot, s.KeepSlot, s.OpenDirectory),
        *(s.MakeDirectory, s.MakeFile, s.EnterDirectory, s.Mask, s.ReadOnly, s.MakeDevice),
        *(s.MakeLink, s.MakeDirectories, s.Console, s.ProcWrite, s.Unshare),
    )
    assert all(place < pivot for place in places(plan, *outer))


@given(plans)
def test_a_slot_is_filled_before_it_is_used(plan):
    filled: set[int] = set()
    for step in plan.steps:
        used = {getattr(step, "base", s.SLOT_NONE)} - {s.SLOT_NONE}
        if isinstance(step, s.KeepSlot):
            used.add(step.source)
        if isinstance(step, s.Attach | s.AttachRoot | s.SetAttr | s.EnterDirectory):
            used.add(step.slot)
        assert used <= filled, step
        if isinstance(step, s.NewFs | s.OpenTree | s.OpenDirectory):
            filled.add(step.slot)
        if isinstance(step, s.KeepSlot):
            filled.add(step.target)
        if isinstance(step, s.Mask):
            assert {s.SLOT_NULL, s.SLOT_SCRATCH} <= filled
        if isinstance(step, s.MakeDevice | s.MakeLink):
            assert s.SLOT_DEV in filled
        if isinstance(step, s.ProcWrite):
            assert s.SLOT_PROC in filled
        if isinstance(step, s.Console):
            assert s.SLOT_PTS in filled


@given(plans)
def test_a_mount_is_changed_before_anyone_can_see_it(plan):
    seen = False
    for step in plan.steps:
        if isinstance(step, s.NewFs | s.OpenTree) and step.slot == s.SLOT_NEW:
            seen = False
        if isinstance(step, s.Attach):
            seen = True
        if isinstance(step, s.SetAttr) and step.slot == s.SLOT_NEW:
            assert not seen


@given(plans)
def test_what_covers_proc_comes_after_what_is_written_to_it_and_after_every_mount(plan):
    covers = places(plan, s.Mask, s.ReadOnly)
    assume(covers)
    first = min(covers)
    mounts = [i for i in places(plan, s.Attach) if plan.steps[i] is not None]
    assert max(mounts) < first
    assert before(plan, s.ProcWrite, first)
    assert max(covers) < only(plan, s.Pivot)


def test_masks_are_resolved_below_the_mounts_that_they_cover():
    """A path through the root could be led to another directory meanwhile."""
    bases = {
        (type(step), step.base, step.path)
        for step in plan_of(PLAIN).steps
        if isinstance(step, s.Mask | s.ReadOnly)
    }
    assert bases == {
        (s.Mask, s.SLOT_PROC, "/keys"),
        (s.Mask, s.SLOT_SYS, "/firmware"),
        (s.ReadOnly, s.SLOT_PROC, "/sys"),
    }


@given(launches)
def test_a_read_only_root_is_made_so_after_all_that_is_made_in_it(launch):
    plan = plan_of(launch)
    ro = s.SetAttr(slot=s.SLOT_ROOT, attributes=("ro",), attached=True)
    assert (ro in plan.steps) == launch.root.readonly
    if launch.root.readonly:
        made = places(plan, s.Attach, s.MakeDirectories, s.Console)
        assert max(made) < plan.steps.index(ro) < only(plan, s.Pivot)


@given(launches)
def test_a_detached_mount_is_changed_when_there_is_a_place_to_do_it_in_the_old_way(launch):
    plan = plan_of(msgspec.structs.replace(launch, old_mounts=True))
    assert only(plan, s.OldMounts) == 0
    scratch = s.AttachRoot(slot=s.SLOT_SCRATCH, path="/")
    attached = [
        number
        for number, step in enumerate(plan.steps)
        if isinstance(step, s.AttachRoot) and step.slot == scratch.slot
    ]
    changes = [
        number
        for number, step in enumerate(plan.steps)
        if isinstance(step, s.SetAttr) and not step.attached
    ]
    if launch.root.entry != "chroot":
        assert all(number > attached[0] for number in changes)


@given(launches)
def test_bounding_goes_before_the_ids_that_it_needs(launch):
    plan = plan_of(launch)
    drops = places(plan, s.DropBounding)
    assert len(drops) == bool(launch.drop_bounding)
    final = places(plan, s.Ids)[-1]
    assert plan.steps[final] == s.Ids(
        uid=launch.process.uid, gid=launch.process.gid, groups=launch.process.groups
    )
    assert only(plan, s.Pivot) < final
    assert all(place < final for place in drops)


@given(launches, filters)
def test_rights_are_given_up_in_their_order(launch, seccomp):
    plan = plan_of(launch, seccomp=seccomp)
    ids, capset = places(plan, s.Ids)[-1], only(plan, s.Capset)
    ambient, verify = only(plan, s.Ambient), only(plan, s.Verify)
    assert ids < capset < ambient < verify
    loads = places(plan, s.LoadSeccomp)
    assert len(loads) == (seccomp is not None)
    assert len(places(plan, s.NoNewPrivs)) == launch.process.no_new_privs
    if launch.process.no_new_privs:
        # The filter needs no right then, and must not stand in the way of the other steps.
        assert ambient < only(plan, s.NoNewPrivs) < min([*loads, verify])
        if seccomp is not None and not launch.process.init:
            # That of a listener goes to whoever creates the container.
            assert all((verify < place) != seccomp.listener for place in loads)
    else:
        assert all(ids < place < capset for place in loads)
    raises = places(plan, s.RaiseEffective)
    assert all(ids < place < min(loads) for place in raises)
    needed = bool(loads) and launch.process.uid != 0 and not launch.process.no_new_privs
    assert len(raises) == needed


@given(launches)
def test_what_masks_copy_is_attached_before_the_first_of_them(launch):
    """Before Linux 6.15 open_tree(2) copies no detached mount."""
    plan = plan_of(launch)
    attached = [
        i for i, x in enumerate(plan.steps) if isinstance(x, s.Attach) and x.slot == s.SLOT_NULL
    ]
    assert len(attached) == bool(launch.masked_paths)
    assert all(plan.steps[place].base == s.SLOT_SCRATCH for place in attached)
    assert all(attached[0] < place for place in places(plan, s.Mask))


@given(launches)
def test_limits_are_set_with_rights_and_directories_entered_with_them(launch):
    plan = plan_of(launch)
    final = places(plan, s.Ids)[-1]
    first, *again = places(plan, s.ChangeDirectory)
    assert only(plan, s.Pivot) < first < final
    # A directory that is open to its user alone is entered by him.
    assert len(again) == bool(launch.process.uid)
    assert all(final < place for place in again)
    assert all(only(plan, s.Pivot) < place < final for place in places(plan, s.Rlimit))


@given(launches)
def test_a_container_in_the_foreground_dies_with_its_launcher(launch):
    plan = plan_of(launch, foreground=True)
    deaths = places(plan, s.ParentDeath)
    ids = places(plan, s.Ids)[-1]
    # A change of the user or group id clears it; see prctl(2), PR_SET_PDEATHSIG.
    changes = (launch.process.uid, launch.process.gid) != (0, 0)
    assert (max(deaths) > ids) == changes
    assert min(deaths) < only(plan, s.Propagation)
    assert not places(plan_of(launch, foreground=False), s.ParentDeath)


@given(launches)
def test_a_terminal_or_a_session_of_its_own_and_init_last(launch):
    plan = plan_of(launch)
    assert len(places(plan, s.Console)) == launch.process.terminal
    assert len(places(plan, s.Session)) == (not launch.process.terminal)
    for place in places(plan, s.Init):
        assert plan.steps[place + 1 :] == plan.steps[-2:]
        assert place == only(plan, s.Verify) - 1


@given(launches)
def test_the_cgroup_is_entered_before_its_namespace_is_made(launch):
    plan = compile_plan(
        launch, seccomp=FILTER, last_capability=40, foreground=True, wait_for_cgroup=True
    )
    wait = plan.steps.index(s.Sync(reason=SYNC_CGROUP))
    unshares = places(plan, s.Unshare)
    assert len(unshares) == ("cgroup" in launch.namespaces)
    assert all(place > wait for place in unshares)
    cgroups = [
        i for i, x in enumerate(plan.steps) if isinstance(x, s.NewFs) and x.fstype == "cgroup2"
    ]
    assert all(max([wait, *unshares]) < place for place in cgroups)
    assert "cgroup" not in plan.namespaces


@given(launches)
def test_a_leaf_of_the_cgroup_is_entered_when_its_namespace_begins_above(launch):
    divided = CgroupSpec(version=2, parent="/sys/fs/cgroup", settings=(), divide=True)
    plan = plan_of(msgspec.structs.replace(launch, cgroups=(divided,)))
    leaves = [i for i, x in enumerate(plan.steps) if x == s.Sync(reason=SYNC_LEAF)]
    assert leaves == [place + 1 for place in places(plan, s.Unshare)]
    plain = msgspec.structs.replace(divided, divide=False)
    plan = plan_of(msgspec.structs.replace(launch, cgroups=(plain,)))
    assert s.Sync(reason=SYNC_LEAF) not in plan.steps


@given(launches)
def test_namespaces_are_made_at_the_start_or_by_a_step_and_each_once(launch):
    plan = plan_of(launch)
    later = [name for x in plan.steps if isinstance(x, s.Unshare) for name in x.namespaces]
    assert sorted([*plan.namespaces, *later]) == sorted(launch.namespaces)


def test_what_was_not_asked_for_has_no_step():
    launch = msgspec.structs.replace(
        PLAIN, hostname=None, loopback=False, new_keyring=False, sysctls=(), drop_bounding=0
    )
    plan = plan_of(launch, seccomp=None, foreground=False)
    absent = (s.Hostname, s.Loopback, s.Keyring, s.ProcWrite, s.DropBounding, s.LoadSeccomp)
    assert places(plan, *absent) == []


@given(launches)
def test_a_network_is_opened_before_it_is_closed_to_its_owner_and_there_before_sysctls(launch):
    plan = plan_of(launch)
    waits = {step.reason: n for n, step in enumerate(plan.steps) if isinstance(step, s.Sync)}
    assert (SYNC_NETWORK in waits) is (launch.network is not None)
    if launch.network is None:
        return
    opened, connected = waits[SYNC_NETWORK_NAMESPACE], waits[SYNC_NETWORK]
    closing = places(plan, s.Dumpable, s.Ids)
    assert opened < min(closing)
    assert connected < min([*places(plan, s.ProcWrite), only(plan, s.Pivot)])
