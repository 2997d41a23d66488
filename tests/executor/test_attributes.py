"""What a process is born with besides its rights: how it is scheduled, its streams, its filter."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import msgspec
import pytest

from nestbox.executor.encode import CREATED, LISTENER
from nestbox.plan import steps as s
from nestbox.policy.launch_spec import LaunchSpec, MemoryPolicySpec, MountSpec, SchedulerSpec
from tests.executor.boxes import (
    DEV,
    KILL,
    NOTIFY,
    PROC,
    PTS,
    box,
    make_root,
    own_sets,
    plan_of,
    program,
    run,
    shell,
)
from tests.executor.talk import talking, text_of

pytestmark = pytest.mark.root

SCHED_BATCH = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


def all_of(master: int) -> bytes:
    """Return what is printed to a terminal until nobody has it open any more."""
    found = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 4096):
            found += chunk
    return found


def with_process(launch: LaunchSpec, **changes: object) -> LaunchSpec:
    return msgspec.structs.replace(
        launch, process=msgspec.structs.replace(launch.process, **changes)
    )


def test_how_it_is_scheduled(root):
    launch = with_process(
        box(root, "cat /proc/self/sched | while read -r a b c; do echo $a $c; done"),
        scheduler=SchedulerSpec(policy=SCHED_BATCH, nice=7),
        io_priority=(2 << 13) | 5,
        affinity=(0,),
        personality=0x0008,
        umask=0o27,
    )
    plan = plan_of(launch)
    with talking(plan) as (talk, output):
        talk.go_on()
        assert talk.failure() is None, talk.failure()
        assert talk.wait() == 0
        facts = dict(line.split(maxsplit=1) for line in text_of(output).splitlines() if " " in line)
    assert facts["policy"] == str(SCHED_BATCH)
    assert facts["prio"] == str(120 + 7)


def test_processors_memory_and_machine_are_those_that_were_asked_for(root):
    script = (
        "while read -r a b; do case $a in Cpus_allowed_list:|Mems*list:) echo $b;; esac; done"
        " </proc/self/status; cat /proc/self/personality; cat /proc/self/numa_maps"
    )
    launch = with_process(
        box(root, script),
        affinity=(0,),
        personality=0x0008,
        memory_policy=MemoryPolicySpec(mode=2, nodes=(0,)),
    )
    code, text = run(launch)
    lines = text.splitlines()
    assert code == 0
    assert lines[0] == "0"
    assert int(lines[2], 16) == 8
    assert "bind:0" in text


def test_a_scheduler_that_is_refused_is_named(root):
    launch = with_process(box(root, ""), scheduler=SchedulerSpec(policy=99))
    plan = plan_of(launch)
    with talking(plan) as (talk, _):
        talk.go_on()
        failed = talk.failure()
        assert failed is not None
        assert (type(plan.steps[failed.step]), failed.errno) == (s.Scheduler, errno.EINVAL)


def test_the_streams_belong_to_the_user(root):
    launch = with_process(
        box(root, "stat -Lc %u /proc/self/fd/1"), uid=1000, gid=1000, own_streams=True
    )
    sets = msgspec.structs.replace(own_sets(), permitted=0, effective=0)
    assert run(msgspec.structs.replace(launch, capabilities=sets)) == (0, "1000\n")


def test_a_directory_that_is_open_to_the_user_alone_is_entered_by_him(root):
    """Without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH around us, root cannot enter it first."""
    (root / "home").mkdir(mode=0o700)
    os.chown(root / "home", 1000, 1000)
    launch = with_process(box(root, "pwd"), uid=1000, gid=1000, working_directory="/home")
    launch = msgspec.structs.replace(
        launch, capabilities=msgspec.structs.replace(own_sets(), permitted=0, effective=0)
    )
    plan = plan_of(launch)
    without = own_sets().permitted & ~0b110
    lower = s.Capset(effective=without, permitted=own_sets().permitted, inheritable=0)
    place = next(i for i, x in enumerate(plan.steps) if isinstance(x, s.ChangeDirectory))
    steps = (*plan.steps[:place], lower, *plan.steps[place:])
    with talking(msgspec.structs.replace(plan, steps=steps)) as (talk, output):
        talk.go_on()
        assert talk.failure() is None, (talk.failure(), plan)
        assert talk.wait() == 0
        assert text_of(output) == "/home\n"


def test_a_terminal_of_a_size_needs_nobody_outside(root):
    launch = with_process(
        box(root, "readlink /proc/self/fd/0; stat -c %F /dev/console", mounts=(PROC, DEV, PTS)),
        terminal=True,
        console_size=(33, 44),
    )
    plan = plan_of(launch)
    assert not any(isinstance(step, s.Sync) for step in plan.steps)
    with talking(plan) as (talk, _):
        talk.go_on()
        master = next(heard.fd for heard in talk.heard if heard.fd is not None)
        assert os.get_terminal_size(master) == (44, 33)
        assert talk.wait() == 0
        assert all_of(master).split() == [b"/dev/pts/0", b"character", b"special", b"file"]


def test_a_devpts_that_came_along_serves_the_terminal(root, tmp_path):
    (tmp_path / "dev/pts").mkdir(parents=True)
    (tmp_path / "dev/console").touch()
    dev = MountSpec(fstype="bind", source=str(tmp_path / "dev"), target="/dev", recursive=True)
    below = msgspec.structs.replace(PTS, target="/dev/pts")
    launch = with_process(
        box(root, "readlink /proc/self/fd/0", mounts=(PROC, dev, below)),
        terminal=True,
        console_size=(1, 2),
    )
    with talking(plan_of(launch)) as (talk, _):
        talk.go_on()
        assert talk.failure() is None, talk.failure()
        assert talk.wait() == 0


def test_what_is_no_devpts_gives_no_terminal(root):
    (root / "dev/pts").mkdir()
    (root / "dev/pts/ptmx").touch()
    launch = with_process(box(root, "", mounts=(PROC,)), terminal=True, console_size=(1, 2))
    plan = plan_of(launch)
    with talking(plan) as (talk, _):
        talk.go_on()
        failed = talk.failure()
        assert failed is not None
        assert (type(plan.steps[failed.step]), failed.errno) == (s.Console, errno.ENXIO)


CHROOT = {"x86_64": 161, "aarch64": 51}[os.uname().machine]
CAPGET = {"x86_64": 125, "aarch64": 90}[os.uname().machine]


@pytest.mark.parametrize("no_new_privs", [False, True])
def test_the_listener_of_a_filter_comes_to_whoever_creates_the_container(root, no_new_privs):
    launch = with_process(box(root, "exit 3"), no_new_privs=no_new_privs)
    waiting = msgspec.structs.replace(launch, wait_for_start=True)
    filter_step = s.LoadSeccomp(program=program(CHROOT, NOTIFY), flags=1, listener=True)
    steps = [type(x) for x in plan_of(waiting, filter_step).steps]
    assert steps.index(s.LoadSeccomp) < steps.index(s.WaitForStart)
    with talking(plan_of(launch, filter_step)) as (talk, _):
        talk.go_on()
        assert talk.failure() is None, talk.failure()
        (listener,) = [heard for heard in talk.heard if heard.report.kind == LISTENER]
        assert listener.fd is not None
        assert os.readlink(f"/proc/self/fd/{listener.fd}") == "anon_inode:seccomp notify"
        assert talk.wait() == 3
    assert CREATED not in talk.kinds()


def test_a_filter_with_no_new_privs_need_not_allow_what_the_launch_calls(root):
    launch = with_process(box(root, "exit 3"), no_new_privs=True)
    with talking(plan_of(launch, s.LoadSeccomp(program=program(CAPGET, KILL)))) as (talk, _):
        talk.go_on()
        assert talk.failure() is None
        assert talk.wait() == 3


def test_a_label_goes_where_the_kernel_has_it(root):
    plan = plan_of(box(root, "cat /proc/self/oom_score_adj", own_proc=True))
    label = s.Label(path="self/attr/nosuch/exec", alternative="self/oom_score_adj", value="77")
    own = s.NewFs(slot=s.SLOT_OWN_PROC, fstype="proc")
    enter = next(i for i, x in enumerate(plan.steps) if isinstance(x, s.Pivot))
    steps = (*plan.steps[:enter], own, plan.steps[enter], label, *plan.steps[enter + 1 :])
    with talking(msgspec.structs.replace(plan, steps=steps)) as (talk, output):
        talk.go_on()
        assert talk.failure() is None, talk.failure()
        assert talk.wait() == 0
        assert text_of(output) == "77\n"


def test_a_label_is_written_through_nothing_but_proc(root):
    process = shell("", apparmor="some-profile")
    plan = plan_of(box(root, "", process=process, own_proc=True))
    label = next(x for x in plan.steps if isinstance(x, s.Label))
    assert label.base == s.SLOT_OWN_PROC
    assert label.value == "exec some-profile"
    place = next(i for i, x in enumerate(plan.steps) if isinstance(x, s.Label))
    elsewhere = s.OpenDirectory(slot=s.SLOT_OWN_PROC, path="/tmp", system="proc")
    steps = (*plan.steps[:place], elsewhere, *plan.steps[place:])
    with talking(msgspec.structs.replace(plan, steps=steps)) as (talk, _):
        talk.go_on()
        failed = talk.failure()
        assert failed is not None
        assert (failed.step, failed.errno) == (place, errno.EXDEV)
