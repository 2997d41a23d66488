"""The rungs of a root whose changes are thrown away: which is taken, and why no better one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.outer.facts import OuterEnvironment, RootFacts, TreeDirectory, TreeEntry, Trial
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.launch_spec import RootSpec
from nestbox.policy.request import RootKind, RootMode, RootRequest
from nestbox.policy.root import RootChoice, decide_root, place_of
from nestbox.policy.root_ladder import wants_parts, wants_size
from nestbox.policy.root_parts import MIB
from nestbox.policy.root_place import Separation
from nestbox.policy.shipped_profiles import load_shipped
from tests.policy.surroundings import (
    HOST,
    PRESENT_ROOT,
    ROOT,
    ask,
    change,
    device,
    full_root,
    mount,
)

WORKS = Trial(error=None)
INVALID = Trial(error="EINVAL")
DEEP = {"overlay": INVALID, "overlay_tmpfs": INVALID, "bare": WORKS, "full": ("/",)}
NO_OVERLAY = dict.fromkeys(
    ("overlay", "overlay_tmpfs", "overlay_user", "bare", "bare_user"), Trial(error="ENODEV")
)
LOCKED = {"overlay_user": INVALID, "bare_user": WORKS}
SMALL = msgspec.structs.replace(PRESENT_ROOT, size=5 * MIB)


def host(mode: RootMode) -> RootRequest:
    return RootRequest(kind=RootKind.HOST, directory="/", mode=mode)


def directory(mode: RootMode) -> RootRequest:
    return RootRequest(kind=RootKind.DIRECTORY, directory="/srv/root", mode=mode)


def outside(fuse: str | None = None, **trials: Any) -> OuterEnvironment:
    """Return a host with these trials, and with fuse-overlayfs where the path of it is given."""
    environment = full_root()
    storage = msgspec.structs.replace(environment.storage, free_bytes=1 << 40, **trials)
    tools = msgspec.structs.replace(environment.tools, fuse_overlayfs=fuse)
    return change(environment, storage=storage, tools=tools)


def choose(
    environment: OuterEnvironment,
    root: RootRequest = HOST,
    facts: RootFacts | None = None,
    **options: bool,
) -> RootChoice:
    profile = load_shipped("default")
    assert profile is not None
    known = facts or (PRESENT_ROOT if root.kind is RootKind.HOST else ROOT)
    return decide_root(ask(root=root), profile, environment, known, Separation(**options))


def first(*words: Any, **options: Any) -> Decision:
    return choose(*words, **options).decisions[0]


def spec(*words: Any, **options: Any) -> RootSpec:
    return choose(*words, **options).spec


def test_over_an_overlay_over_an_overlay_fuse_is_next() -> None:
    choice = choose(outside(fuse="/usr/bin/fuse-overlayfs", **DEEP))
    assert choice.spec.base == "fuse"
    assert choice.spec.fuse is not None
    assert choice.spec.fuse.program == "/usr/bin/fuse-overlayfs"
    assert choice.spec.upper == "/run/nestbox"
    assert "stacks no more than two" in choice.decisions[0].cause


def test_the_attributes_of_mounts_that_fuse_shows_are_kept() -> None:
    binds = choose(outside(fuse="/usr/bin/fuse-overlayfs", **DEEP)).mounts
    assert [(bind.target, bind.from_root, bind.attributes) for bind in binds] == [
        ("/tmp", True, ("nodev", "nosuid"))
    ]


def test_fuse_needs_its_device_a_directory_and_a_pid_namespace() -> None:
    environment = outside(fuse="/usr/bin/fuse-overlayfs", **DEEP)
    asked = host(RootMode.FUSE)
    assert first(environment, asked).outcome is Outcome.GRANTED
    assert "fuse-overlayfs" in first(outside(**DEEP), asked).cause
    closed = msgspec.structs.replace(
        environment.devices, nodes={"/dev/fuse": device(10, 229, error="EPERM")}
    )
    assert "EPERM" in first(change(environment, devices=closed), asked).cause
    none = msgspec.structs.replace(environment.devices, nodes={})
    assert "no /dev/fuse" in first(change(environment, devices=none), asked).cause
    assert "pid namespace" in first(environment, asked, own_pid=False).cause
    read_only = outside(fuse="/usr/bin/fuse-overlayfs", **DEEP | {"overlay": Trial(error="EROFS")})
    assert "/run/nestbox is none" in first(read_only, asked).cause


def test_what_is_small_is_copied_unasked_and_the_size_is_told() -> None:
    choice = choose(outside(**DEEP), facts=SMALL)
    assert choice.spec.base == "copy"
    assert [(copy.source, copy.target) for copy in choice.spec.copies] == [("/", "/")]
    assert "5 MiB" in choice.decisions[0].chosen
    assert choice.decisions[0].outcome is Outcome.GRANTED


def test_else_parts_are_copied_and_the_rest_can_be_read() -> None:
    tree = (
        TreeDirectory(
            path="/",
            entries=(
                TreeEntry(name="etc", kind="directory", size=MIB),
                TreeEntry(name="usr", kind="directory"),
                TreeEntry(name="proc", kind="directory"),
                TreeEntry(name="init", kind="file", size=10),
            ),
        ),
    )
    choice = choose(outside(**DEEP), facts=msgspec.structs.replace(PRESENT_ROOT, tree=tree))
    assert choice.spec.base == "tmpfs"
    copies = [(copy.target, copy.shallow) for copy in choice.spec.copies]
    assert copies == [("/", True), ("/etc", False)]
    assert [(bind.target, bind.attributes) for bind in choice.spec.binds] == [
        ("/usr", ("ro", "nodev"))
    ]
    writes = next(one for one in choice.decisions if one.subject == "root.writes")
    assert writes.outcome is Outcome.WEAKENED
    assert "/usr" in writes.chosen
    assert "fuse-overlayfs" in writes.remedy


def test_an_overlay_by_name_is_never_a_part_of_a_root() -> None:
    decision = first(outside(**DEEP), host(RootMode.OVERLAY))
    assert decision.outcome is Outcome.REFUSED
    for word in ("stacks no more", "no fuse-overlayfs", "256 MiB"):
        assert word in decision.cause
    assert "host:copy" in decision.remedy


def test_a_copy_by_name_has_no_limit_but_the_space() -> None:
    asked = host(RootMode.COPY)
    large = msgspec.structs.replace(PRESENT_ROOT, size=10_000 * MIB)
    assert "10000 MiB" in first(outside(), asked, large).chosen
    unknown = first(outside(), asked)
    assert unknown.outcome is Outcome.REFUSED
    assert "space" in unknown.cause
    assert "NESTBOX_STORAGE" in unknown.remedy


def test_a_copy_that_shares_its_blocks_is_told() -> None:
    chosen = first(outside(reflink=WORKS), host(RootMode.COPY), SMALL).chosen
    assert "shares its blocks" in chosen


def test_without_overlays_in_the_kernel_the_error_is_told() -> None:
    assert "ENODEV" in first(outside(**NO_OVERLAY), facts=SMALL).cause
    refused = first(outside(**NO_OVERLAY), directory(RootMode.OVERLAY))
    assert refused.outcome is Outcome.REFUSED
    assert "DIR:copy" in refused.remedy


def test_a_directory_is_judged_by_its_own_file_system() -> None:
    mounts = (mount(1, 0, "/", "overlay"), mount(2, 1, "/srv", "ext4"))
    deep = change(outside(**DEEP), mounts=mounts)
    assert spec(deep, directory(RootMode.OVERLAY)).layers[0].lower == "/srv/root"
    mounts = (mount(1, 0, "/", "ext4"), mount(2, 1, "/srv", "overlay"))
    other = change(outside(bare=WORKS, full=("/srv",)), mounts=mounts)
    assert first(other, directory(RootMode.OVERLAY)).outcome is Outcome.REFUSED


@pytest.mark.parametrize("fstype", ["vfat", "cifs"])
def test_a_directory_that_no_overlay_takes_is_refused_by_its_type(fstype: str) -> None:
    mounts = (mount(1, 0, "/", "ext4"), mount(2, 1, "/srv", fstype))
    decision = first(change(outside(), mounts=mounts), directory(RootMode.OVERLAY))
    assert decision.outcome is Outcome.REFUSED
    assert fstype in decision.cause


def test_in_a_user_namespace_layers_are_on_a_disk_where_all_files_stay_ours() -> None:
    environment = outside(overlay_user_state=WORKS)
    assert spec(environment, new_user_namespace=True, own_ids=True).upper == "/run/nestbox"
    assert spec(environment, new_user_namespace=True).upper is None
    assert spec(outside(), new_user_namespace=True, own_ids=True).upper is None


def test_in_a_user_namespace_fuse_shows_every_file_as_roots_where_one_id_is_mapped() -> None:
    environment = outside(fuse="/usr/bin/fuse-overlayfs", overlay_user_state=WORKS)
    fuse = spec(environment, host(RootMode.FUSE), new_user_namespace=True, own_ids=True).fuse
    assert fuse is not None
    assert (fuse.user_namespace, fuse.all_roots) == (True, True)


def wanted(environment: OuterEnvironment, root: RootRequest = HOST, user: bool = False) -> Any:
    place = place_of(ask(root=root), environment, PRESENT_ROOT, Separation(new_user_namespace=user))
    return wants_size(place), *wants_parts(place)


def test_nothing_is_counted_where_an_overlay_works() -> None:
    assert wanted(outside()) == (0, frozenset(), frozenset())


def test_a_root_that_may_be_copied_is_counted_as_far_as_it_may() -> None:
    size, _, counted = wanted(outside(**DEEP))
    assert size == 256 * MIB
    assert "/" in counted
    assert wanted(outside(), host(RootMode.COPY))[0] > 900 << 30
    assert wanted(outside(fuse="/usr/bin/fuse-overlayfs", **DEEP))[0] == 0


def test_beside_locked_mounts_the_directories_above_them_are_listed() -> None:
    mounts = (
        mount(1, 0, "/", "ext4"),
        mount(2, 1, "/etc/hosts", "ext4"),
        mount(3, 1, "/proc/sys", "proc"),
        mount(4, 1, "/dev/shm", "tmpfs"),
    )
    above = wanted(change(outside(**LOCKED), mounts=mounts), user=True)[1]
    assert above == {"/etc", "/var"}


def test_why_a_layer_of_a_user_namespace_is_in_memory_is_told() -> None:
    environment = outside(overlay_user_state=Trial(error="EROFS"))
    closed = first(environment, new_user_namespace=True, own_ids=True)
    assert "/run/nestbox gave EROFS" in closed.cause
    many = first(outside(overlay_user_state=WORKS), new_user_namespace=True)
    assert "could not be removed" in many.cause


def test_what_layers_in_memory_cannot_do_on_older_kernels_is_told() -> None:
    environment = outside(overlay_user_state=WORKS)
    kernel = msgspec.structs.replace(environment.kernel, version=(6, 1))
    old = change(environment, kernel=kernel)

    def told(where: OuterEnvironment, **options: bool) -> list[Outcome]:
        decisions = choose(where, **options).decisions
        return [one.outcome for one in decisions if one.subject == "root.directories"]

    assert told(old, new_user_namespace=True) == [Outcome.WEAKENED]
    assert told(old, new_user_namespace=True, own_ids=True) == []
    assert told(environment, new_user_namespace=True) == []
    assert told(old) == []
