"""What follows from facts: mounts that hold a path, over-mounts, where a capability was lost."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.kernel.capabilities import mask_of
from nestbox.outer import derived
from nestbox.outer.facts import Ancestor, CapabilitySets, CgroupHierarchy, IdMap, Mount


def _mount(id, parent, target, fstype="tmpfs"):
    return Mount(
        id=id,
        parent=parent,
        device="0:1",
        root="/",
        target=target,
        options=("rw",),
        propagation=(),
        fstype=fstype,
        source="none",
        super_options=("rw",),
    )


# As in a container of docker: masked paths over /proc, and one mount that another hides.
MOUNTS = (
    _mount(1, 0, "/", "overlay"),
    _mount(2, 1, "/proc", "proc"),
    _mount(3, 2, "/proc/kcore"),
    _mount(4, 2, "/proc/sys", "proc"),
    _mount(5, 1, "/data"),
    _mount(6, 5, "/data/inner"),
    _mount(7, 5, "/data"),
    _mount(8, 1, "/data-other"),
)


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("/", 1),
        ("/etc/passwd", 1),
        ("/proc", 2),
        ("/proc/self/status", 2),
        ("/proc/kcore", 3),
        ("/proc/kcore-not", 2),
        ("/proc/sys/kernel", 4),
        ("/data", 7),
        ("/data/inner/file", 7),
        ("/data-other/x", 8),
        ("/dat", 1),
    ],
)
def test_the_mount_that_holds_a_path_is_found_as_lookup_would(path, id):
    mount = derived.mount_at(MOUNTS, path)
    assert mount is not None
    assert mount.id == id


def test_overmounts_are_those_strictly_below_and_reachable():
    assert [m.target for m in derived.overmounts(MOUNTS, "/proc")] == ["/proc/kcore", "/proc/sys"]
    assert derived.overmounts(MOUNTS, "/data") == ()
    assert derived.overmounts(MOUNTS, "/etc") == ()
    ids = [mount.id for mount in derived.overmounts(MOUNTS, "/")]
    assert ids == [2, 3, 4, 7, 8]


def test_a_root_mounted_over_the_first_one_is_the_one_that_counts():
    mounts = (_mount(1, 0, "/", "rootfs"), _mount(2, 1, "/", "ext4"), _mount(3, 2, "/proc"))
    assert derived.mount_at(mounts, "/etc") == mounts[1]
    assert derived.overmounts(mounts, "/") == (mounts[2],)


def test_no_mounts_hold_nothing():
    assert derived.mount_at((), "/") is None
    assert derived.overmounts((), "/proc") == ()


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from(["/", "/a", "/a/b", "/c"])),
        max_size=7,
    ),
    st.sampled_from(["/", "/a", "/a/b/c", "/c"]),
)
def test_a_table_of_any_shape_ends_the_search(rows, path):
    mounts = tuple(_mount(*row) for row in rows)
    found = derived.mount_at(mounts, path)
    assert found is None or derived.is_below(path, found.target)
    assert set(derived.overmounts(mounts, "/a")) <= set(mounts)


FULL = mask_of(tuple(range(41)))


def _sets(bounding):
    return CapabilitySets(
        inheritable=0, permitted=bounding, effective=bounding, bounding=bounding, ambient=0
    )


def _ancestor(pid, bounding):
    return Ancestor(
        pid=pid,
        name=f"process{pid}",
        sets=_sets(bounding),
        no_new_privs=False,
        seccomp_mode=0,
        user_namespace=None,
    )


WITHOUT_BOOT = FULL & ~(1 << 22)


def test_a_capability_that_is_still_bounding_was_not_lost():
    assert derived.lost_at(_sets(FULL), [_ancestor(1, FULL)], 22) is None


def test_the_process_that_lost_a_capability_is_the_outermost_without_it():
    ancestry = [_ancestor(30, WITHOUT_BOOT), _ancestor(20, WITHOUT_BOOT), _ancestor(1, FULL)]
    loss = derived.lost_at(_sets(WITHOUT_BOOT), ancestry, 22)
    assert loss == derived.Loss(ancestor=ancestry[1], outermost=False)


def test_a_capability_that_pid_1_already_lacks_was_lost_by_what_started_it():
    ancestry = [_ancestor(20, WITHOUT_BOOT), _ancestor(1, WITHOUT_BOOT)]
    loss = derived.lost_at(_sets(WITHOUT_BOOT), ancestry, 22)
    assert loss == derived.Loss(ancestor=ancestry[1], outermost=True)


@pytest.mark.parametrize("ancestry", [[], [_ancestor(20, FULL), _ancestor(1, FULL)]])
def test_a_capability_that_every_ancestor_has_was_given_up_by_this_process(ancestry):
    loss = derived.lost_at(_sets(WITHOUT_BOOT), ancestry, 22)
    assert loss == derived.Loss(ancestor=None, outermost=False)


def test_the_hierarchy_of_a_controller_is_the_mounted_one():
    memory = CgroupHierarchy(
        version=1,
        controllers=("memory",),
        mountpoint="/sys/fs/cgroup/memory",
        path="/",
        directory="/sys/fs/cgroup/memory",
        writable=True,
        enabled=("memory",),
        processes=None,
    )
    unified = msgspec.structs.replace(memory, version=2, controllers=("pids", "cpu"))
    assert derived.hierarchy_of([memory, unified], "cpu") == unified
    assert derived.hierarchy_of([memory, unified], "hugetlb") is None


def test_ids_are_translated_by_the_row_that_holds_them():
    rows = [IdMap(inside=0, outside=1000, count=1), IdMap(inside=1, outside=100000, count=65536)]
    assert derived.outside_id(rows, 0) == 1000
    assert derived.outside_id(rows, 1) == 100000
    assert derived.outside_id(rows, 65536) == 165535
    assert derived.outside_id(rows, 65537) is None
    assert derived.mapped_ids(rows) == 65537
