"""Device rules enforced by a real kernel, by the list of version 1 and the program of version 2."""

from __future__ import annotations

import os

import msgspec
import pytest

from nestbox.errors import LaunchError
from nestbox.kernel import constants, syscalls
from nestbox.oci.resources import LinuxDeviceCgroup
from nestbox.policy.config.cgroup_devices import Rule, device_rules
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.runtime.cgroup import setup, tree
from nestbox.runtime.cgroup.devices import apply_devices
from nestbox.runtime.cgroup.files import read
from tests.root.oci.cgroups import begin, located, memberships, process

BOTH = pytest.mark.parametrize("version", [1, 2])
DENY_ALL = {"allow": False, "access": "rwm"}
KMSG = {"type": "c", "major": 1, "minor": 11}
# Opens the devices in its words and says of each whether it may; the modes are those of open(2).
PROBE = """
for name in null:'<' null:'>' kmsg:'<' kmsg:'>' kmsg:'<>'; do
  ( eval "exec 3${name#*:} /dev/${name%:*}" ) 2>/dev/null && echo yes || echo no
done
mknod $1 c 1 11 2>/dev/null && echo yes || echo no
"""


def rules(*listed: dict[str, object]) -> tuple[Rule, ...]:
    return device_rules([msgspec.convert(one, LinuxDeviceCgroup) for one in listed])


def opened(location: CgroupLocation, node: str) -> list[str]:
    """Return what a process in the cgroup may open: null r w, kmsg r w rw; and make."""
    with process(f"set -- {node}; {PROBE}") as child:
        tree.enter(location, child.pid)
        begin(child)
        answers, _ = child.communicate()
    if os.path.exists(node):
        os.unlink(node)
    return answers.split()


@pytest.fixture
def node(tmp_path) -> str:
    return str(tmp_path / "node")


@BOTH
def test_what_is_not_allowed_cannot_be_opened(version, node):
    with located(version) as location:
        made = setup.make(
            setup.CgroupSetup(container="x", location=location, rules=rules(DENY_ALL))
        )
        assert made.losses == ()
        assert opened(made.location, node) == ["yes", "yes", "no", "no", "no", "yes"]


@BOTH
@pytest.mark.parametrize(
    ("access", "expected"),
    [("r", ["yes", "no", "no"]), ("w", ["no", "yes", "no"]), ("rw", ["yes", "yes", "yes"])],
)
def test_only_the_allowed_access_is_possible(version, access, expected, node):
    with located(version) as location:
        wanted = rules(DENY_ALL, {"allow": True, "access": access, **KMSG})
        setup.make(setup.CgroupSetup(container="x", location=location, rules=wanted))
        assert opened(location, node)[2:5] == expected


@BOTH
def test_one_device_of_all_can_be_denied(version, node):
    """Denied is every access that asks for something denied, also together with something else."""
    with located(version) as location:
        wanted = rules({"allow": True, "access": "rwm"}, {"allow": False, "access": "w", **KMSG})
        setup.make(setup.CgroupSetup(container="x", location=location, rules=wanted))
        assert opened(location, node) == ["yes", "yes", "yes", "no", "no", "yes"]


@BOTH
def test_new_rules_take_the_place_of_the_old_ones(version, node):
    with located(version) as location:
        setup.make(setup.CgroupSetup(container="x", location=location, rules=rules(DENY_ALL)))
        for wanted, expected in (
            (rules(DENY_ALL, {"allow": True, "access": "rwm", **KMSG}), "yes"),
            (rules({"allow": True, "access": "rwm"}), "yes"),
            (rules(DENY_ALL), "no"),
        ):
            assert apply_devices(location, wanted) is None
            assert opened(location, node)[2] == expected
        if version == 2:
            assert len(_programs(location)) == 1


def _programs(location: CgroupLocation) -> tuple[int, ...]:
    fd = os.open(location.directories[""], os.O_RDONLY | os.O_DIRECTORY)
    try:
        return syscalls.bpf_prog_query(fd, constants.BPF_CGROUP_DEVICE)
    finally:
        os.close(fd)


def test_a_running_container_is_not_disturbed_by_new_rules():
    """Devices that it keeps are never denied in between: the list is changed, not written anew."""
    with located(1) as location:
        setup.make(setup.CgroupSetup(container="x", location=location, rules=rules(DENY_ALL)))
        script = "while echo >/dev/null; do :; done 2>/dev/null; echo failed"
        with process(script) as child:
            tree.enter(location, child.pid)
            begin(child)
            for _ in range(50):
                apply_devices(location, rules(DENY_ALL, {"allow": True, "access": "r", **KMSG}))
                apply_devices(location, rules(DENY_ALL))
            assert child.poll() is None


def test_the_list_of_version_1_is_exactly_what_was_asked_for():
    with located(1) as location:
        setup.make(setup.CgroupSetup(container="x", location=location, rules=rules(DENY_ALL)))
        listed = read(location.directories["devices"], "devices.list").splitlines()
        assert sorted(listed) == sorted(
            [
                "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
                "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm", "c 10:200 rwm",
            ]
        )  # fmt: skip


def test_a_hybrid_machine_without_the_devices_hierarchy_uses_the_program(node):
    with located(1) as location:
        if "" not in location.directories:
            pytest.skip("no hierarchy of cgroup v2 is mounted here")
        without = msgspec.structs.replace(
            location,
            directories={k: one for k, one in location.directories.items() if k != "devices"},
        )
        setup.make(setup.CgroupSetup(container="x", location=without, rules=rules(DENY_ALL)))
        assert opened(without, node)[:3] == ["yes", "yes", "no"]


def test_rules_that_cannot_be_enforced_are_an_error_unless_nothing_is_lost():
    with located(1) as location:
        nothing = msgspec.structs.replace(location, directories={})
        with pytest.raises(
            LaunchError, match=r"cannot enforce linux\.resources\.devices"
        ) as caught:
            apply_devices(nothing, rules(DENY_ALL))
        assert "mountpoint for devices not found" in caught.value.cause
        rootless = msgspec.structs.replace(nothing, rootless=True)
        assert "mountpoint for devices" in (apply_devices(rootless, rules(DENY_ALL)) or "")
        everything = [Rule(allow=True, match=None, access=7)]
        assert apply_devices(nothing, everything) is not None


def test_in_a_user_namespace_nothing_is_written_and_that_is_said():
    with located(1) as location:
        asked = setup.CgroupSetup(
            container="x", location=location, rules=rules(DENY_ALL), user_namespace=True
        )
        made = setup.make(asked)
        assert len(made.losses) == 1
        assert "user namespace" in made.losses[0]
        assert read(location.directories["devices"], "devices.list") == "a *:* rwm"


@BOTH
def test_the_whole_of_a_setup_with_the_process_at_its_end(version):
    with located(version) as location, process() as child:
        asked = setup.CgroupSetup(
            container="x",
            location=location,
            rules=rules(DENY_ALL),
            owner=1234 if version == 2 else None,
        )
        state = setup.enter(setup.make(asked), child.pid)
        assert set(memberships(child.pid)) >= set(state.location.directories)
        if version == 2:
            assert os.stat(location.directories[""]).st_uid == 1234
