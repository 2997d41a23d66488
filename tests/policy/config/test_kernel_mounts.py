"""What a configuration gets where a user namespace, or a filter of an engine, is around us."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap, Namespaces, OuterEnvironment, Seccomp, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.launch_spec import LaunchSpec
from tests.policy.config.cases import decide, rootless_spec, spec, with_user
from tests.policy.surroundings import ALL, change, full_root, mount, rights, without

MASKED = (
    mount(1, 0, "/", "overlay"),
    mount(2, 1, "/proc", "proc"),
    mount(3, 2, "/proc/kcore", "tmpfs"),
    mount(4, 1, "/sys", "sysfs"),
    mount(5, 4, "/sys/firmware", "tmpfs"),
)
ONE_ID = (IdMap(inside=0, outside=1000, count=1),)


def inside(proc: str | None = None, maps: tuple[IdMap, ...] = ONE_ID) -> OuterEnvironment:
    """Return a user namespace of somebody's, in which mounting a proc was tried."""
    trials = {"proc": Trial(error=proc), "sysfs": Trial(error=proc)}
    outer = msgspec.structs.replace(
        full_root().user_namespace, initial=False, uid_map=maps, gid_map=maps
    )
    known = Namespaces(own={}, create={}, create_with_user={}, mount=trials)
    return change(full_root(), user_namespace=outer, namespaces=known, mounts=MASKED)


def launch(environment: OuterEnvironment, **changes: Any) -> LaunchSpec:
    found = decide(spec(**changes), environment).launch
    assert found is not None
    return found


def options_of(launched: LaunchSpec, target: str) -> dict[str, str]:
    return dict(next(one.options for one in launched.mounts if one.target == target))


def test_masks_that_are_not_locked_hide_nothing() -> None:
    fstypes = {one.target: one.fstype for one in launch(inside()).mounts}
    assert (fstypes["/proc"], fstypes["/sys"]) == ("proc", "sysfs")


def test_masks_that_are_locked_refuse_a_proc_and_are_named() -> None:
    resolution = decide(spec(), inside("EPERM"))
    assert resolution.launch is None
    assert "/proc/kcore" in next(
        one.cause for one in resolution.decisions if one.outcome is Outcome.REFUSED
    )


def test_in_a_later_user_namespace_every_mask_is_locked() -> None:
    environment = change(full_root(), mounts=MASKED)
    assert decide(with_user(), environment).launch is None


def test_a_terminal_s_group_that_is_not_mapped_is_left_out_and_told() -> None:
    resolution = decide(spec(), inside())
    assert resolution.launch is not None
    assert "gid" not in options_of(resolution.launch, "/dev/pts")
    assert any("gid=5" in line for line in resolution.warnings)
    many = (IdMap(inside=0, outside=100000, count=65536),)
    assert options_of(launch(inside(maps=many)), "/dev/pts")["gid"] == "5"
    assert options_of(launch(full_root()), "/dev/pts")["gid"] == "5"


def test_one_that_the_configuration_itself_does_not_map_is_an_error() -> None:
    mounts = [{"destination": "/dev/pts", "type": "devpts", "source": "x", "options": ["gid=5"]}]
    with pytest.raises(UsageError):
        decide(rootless_spec(mounts=mounts), full_root())


def filtered(name: str) -> OuterEnvironment:
    trials = {name: Trial(error="EPERM")}
    cut = rights(without(ALL, "CAP_SYS_MODULE"))
    seccomp = Seccomp(mode=2, filters=1, syscalls=trials)
    return change(full_root(), capabilities=cut, seccomp=seccomp, mounts=MASKED)


def test_without_pivot_root_the_root_is_moved_and_whole_mounts_below_go() -> None:
    root = launch(filtered("pivot_root")).root
    assert (root.entry, root.uncovered) == ("move", ("/proc", "/sys"))
    with pytest.raises(UsageError, match="private"):
        decide(spec(linux__rootfsPropagation="private"), filtered("pivot_root"))


def test_without_sethostname_the_name_stays_and_that_is_a_warning() -> None:
    resolution = decide(spec(hostname="box"), filtered("sethostname"))
    assert resolution.launch is not None
    assert resolution.launch.hostname is None
    assert any("hostname" in line for line in resolution.warnings)
