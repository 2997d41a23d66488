"""Namespaces that exist already, and those whose maker is not in them."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nestbox.executor.encode import FORKED
from nestbox.outer.facts import IdMap
from nestbox.plan import steps as s
from nestbox.plan.compile_exec import compile_exec
from nestbox.policy.launch_spec import ExecSpec, JoinSpec, LaunchSpec, RootSpec
from tests.executor.boxes import (
    DEV,
    LAST_CAPABILITY,
    PROC,
    PTS,
    all_sets,
    box,
    make_root,
    own_sets,
    plan_of,
    run,
    shell,
)
from tests.executor.talk import Talk, talking, text_of

pytestmark = pytest.mark.root

ALL_IDS = (IdMap(inside=0, outside=100000, count=65536),)
KINDS = ("mnt", "pid", "ipc", "uts", "net")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    return make_root(tmp_path / "root")


def map_ids(step: s.Step, pid: int) -> tuple[bytes, int | None]:
    """Write the maps when they are waited for."""
    if isinstance(step, s.Sync) and step.reason == s.SYNC_ID_MAPS:
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text("0 100000 65536")
    return b"", None


@contextlib.contextmanager
def running(launch: LaunchSpec) -> Iterator[Talk]:
    """A container that runs until it is left."""
    with talking(plan_of(launch)) as (talk, _):
        talk.go_on(map_ids)
        assert talk.failure() is None, talk.failure()
        yield talk


def namespaces_of(pid: int, kinds: tuple[str, ...]) -> tuple[JoinSpec, ...]:
    return tuple(JoinSpec(namespace=kind, path=f"/proc/{pid}/ns/{kind}") for kind in kinds)


def inode(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_a_second_container_joins_those_of_the_first(root):
    with running(box(root, "sleep 60", namespaces=KINDS)) as first:
        joined = namespaces_of(first.pid, ("pid", "ipc", "net"))
        launch = box(root, "sleep 60", namespaces=("mnt", "uts"), joined=joined)
        with running(launch) as second:
            assert FORKED in second.kinds()
            for kind in ("pid", "ipc", "net"):
                assert inode(second.pid, kind) == inode(first.pid, kind)
            for kind in ("mnt", "uts"):
                assert inode(second.pid, kind) != inode(first.pid, kind)
                assert inode(second.pid, kind) != inode(os.getpid(), kind)


def test_the_process_that_goes_on_is_our_child(root):
    with running(box(root, "sleep 60")) as first:
        joined = namespaces_of(first.pid, ("pid",))
        plan = plan_of(box(root, "exit 5", namespaces=("mnt",), joined=joined))
        with talking(plan) as (talk, _):
            started = talk.pid
            talk.go_on()
            assert talk.pid != started
            assert talk.wait() == 5


def test_a_file_that_is_no_namespace_or_another_one_is_refused(root):
    for path in ("/etc/passwd", "/proc/self/ns/net", "/dev/null"):
        launch = box(root, "", namespaces=("mnt",), joined=(JoinSpec(namespace="ipc", path=path),))
        with talking(plan_of(launch)) as (talk, _):
            talk.go_on()
            failed = talk.failure()
            assert failed is not None
            assert failed.errno == errno.EINVAL
            assert isinstance(talk.plan.steps[failed.step], s.OpenNamespace)


def test_a_fifo_in_the_place_of_a_namespace_hangs_nobody(root, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    joined = (JoinSpec(namespace="ipc", path=str(tmp_path / "fifo")),)
    with talking(plan_of(box(root, "", namespaces=("mnt",), joined=joined))) as (talk, _):
        talk.go_on()
        failed = talk.failure()
        assert failed is not None
        assert failed.errno == errno.EINVAL


def in_user_namespace(root: Path, script: str, **changes: object) -> LaunchSpec:
    os.chown(root, 100000, 100000)
    launch = box(root, script, namespaces=("user", "mnt", "pid", "ipc", "uts", "net"))
    return mapped(launch, **changes)


def mapped(launch: LaunchSpec, **changes: object) -> LaunchSpec:
    """Return a launch whose process has what a user namespace gives."""
    return msgspec.structs.replace(
        launch, uid_map=ALL_IDS, gid_map=ALL_IDS, capabilities=all_sets(), **changes
    )


def test_a_joined_user_namespace_owns_what_is_made_after_it(root):
    with running(in_user_namespace(root, "sleep 60")) as first:
        joined = namespaces_of(first.pid, ("user", "net"))
        script = "id -u; hostname inside; hostname"
        launch = box(root, script, namespaces=("mnt", "pid", "uts"), joined=joined)
        plan = plan_of(mapped(launch))
        with talking(plan) as (talk, output):
            talk.go_on()
            assert talk.failure() is None, talk.failure()
            assert talk.wait() == 0
            assert text_of(output) == "0\ninside\n"


def test_a_new_user_namespace_beside_a_joined_network(root):
    with running(box(root, "sleep 60", namespaces=("mnt", "pid", "net"))) as first:
        joined = namespaces_of(first.pid, ("net",))
        launch = in_user_namespace(root, "sleep 60", joined=joined)
        launch = msgspec.structs.replace(launch, namespaces=("user", "mnt", "pid", "uts"))
        with running(launch) as second:
            assert inode(second.pid, "net") == inode(first.pid, "net")
            assert inode(second.pid, "user") != inode(os.getpid(), "user")
            assert Path(f"/proc/{second.pid}/uid_map").read_text().split() == [
                "0",
                "100000",
                "65536",
            ]
            assert "\nUid:\t100000" in Path(f"/proc/{second.pid}/status").read_text()


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/time"), reason="needs time namespaces")
@pytest.mark.parametrize("user", [False, True])
def test_clocks_of_a_new_time_namespace_are_shifted(root, user):
    script = "cat /proc/self/timens_offsets; readlink /proc/self/ns/time"
    launch = in_user_namespace(root, script) if user else box(root, script)
    launch = msgspec.structs.replace(
        launch,
        namespaces=(*launch.namespaces, "time"),
        time_offsets=(("monotonic", 7, 5), ("boottime", -3, 0)),
    )
    with talking(plan_of(launch)) as (talk, output):
        talk.go_on(map_ids)
        assert talk.failure() is None, talk.failure()
        assert talk.wait() == 0
        lines = text_of(output).splitlines()
    assert lines[0].split() == ["monotonic", "7", "5"]
    assert lines[1].split() == ["boottime", "-3", "0"]
    assert lines[2] != os.readlink("/proc/self/ns/time")


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/time"), reason="needs time namespaces")
def test_a_joined_time_namespace_is_entered_by_the_process_itself(root):
    shifted = box(root, "sleep 60", namespaces=("mnt", "pid", "time"))
    shifted = msgspec.structs.replace(shifted, time_offsets=(("boottime", 1 << 20, 0),))
    with running(shifted) as first:
        joined = namespaces_of(first.pid, ("time",))
        launch = box(root, "readlink /proc/self/ns/time; cat /proc/uptime", joined=joined)
        plan = plan_of(launch)
        assert "pid" in plan.namespaces
        with talking(plan) as (talk, output):
            talk.go_on()
            assert talk.failure() is None, talk.failure()
            assert talk.wait() == 0
            name, uptime = text_of(output).splitlines()
        assert name == inode(first.pid, "time")
        assert float(uptime.split()[0]) > 1 << 20


def executed(spec: ExecSpec, **options: object) -> tuple[Talk, int]:
    plan = compile_exec(
        spec, seccomp=None, last_capability=LAST_CAPABILITY, foreground=False, wait_for_cgroup=False
    )
    return talking(plan)


def exec_spec(joined: tuple[JoinSpec, ...], script: str, **changes: object) -> ExecSpec:
    return ExecSpec(
        process=shell(script, **changes),
        capabilities=own_sets(),
        drop_bounding=0,
        joined=joined,
        own_proc=True,
    )


def test_one_more_process_in_a_container(root):
    launch = box(root, "echo here >/tmp/file; sleep 60", namespaces=KINDS, mounts=(PROC, DEV))
    with running(launch) as first:
        spec = exec_spec(
            namespaces_of(first.pid, KINDS),
            "pwd; id -u; id -G; cat /proc/self/oom_score_adj",
            working_directory="/tmp",
            uid=1000,
            gid=1000,
            groups=(5, 6),
            oom_score_adj=500,
        )
        spec = msgspec.structs.replace(
            spec, capabilities=msgspec.structs.replace(own_sets(), permitted=0, effective=0)
        )
        with executed(spec) as (talk, output):
            talk.go_on()
            assert talk.failure() is None, (talk.failure(), talk.plan)
            assert talk.wait() == 0
            lines = text_of(output).splitlines()
        assert lines[:2] == ["/tmp", "1000"]
        assert set(lines[2].split()) == {"1000", "5", "6"}
        assert lines[3] == "500"


def test_a_terminal_for_one_more_process(root):
    launch = box(root, "sleep 60", namespaces=KINDS, mounts=(PROC, DEV, PTS))
    with running(launch) as first:
        spec = exec_spec(
            namespaces_of(first.pid, KINDS),
            "readlink /proc/self/fd/0",
            terminal=True,
            console_size=(11, 22),
        )
        with executed(spec) as (talk, _):
            talk.go_on()
            assert talk.failure() is None, talk.failure()
            master = next(heard.fd for heard in talk.heard if heard.fd is not None)
            assert os.get_terminal_size(master) == (22, 11)
            assert talk.wait() == 0
            assert os.read(master, 100).strip() == b"/dev/pts/0"


def test_a_process_in_a_user_namespace_is_its_root(root):
    with running(in_user_namespace(root, "sleep 60")) as first:
        kinds = ("user", *KINDS)
        spec = exec_spec(namespaces_of(first.pid, kinds), "id -u; cat /proc/self/uid_map")
        spec = msgspec.structs.replace(
            spec, uid_map=ALL_IDS, gid_map=ALL_IDS, capabilities=all_sets()
        )
        with executed(spec) as (talk, output):
            talk.go_on()
            assert talk.failure() is None, talk.failure()
            assert talk.wait() == 0
            assert text_of(output).split() == ["0", "0", "100000", "65536"]


def test_a_container_whose_first_process_is_dead_cannot_be_joined(root):
    with running(box(root, "sleep 60", namespaces=KINDS)) as first:
        held = os.open(f"/proc/{first.pid}/ns/pid", os.O_RDONLY)
    first_path = f"/proc/{os.getpid()}/fd/{held}"
    spec = exec_spec((JoinSpec(namespace="pid", path=first_path),), "exit 0")
    with executed(spec) as (talk, _):
        talk.go_on()
        failed = talk.failure()
        assert failed is not None
        assert (failed.errno, type(talk.plan.steps[failed.step])) == (errno.ENOMEM, s.Fork)
    os.close(held)


def mounted() -> set[str]:
    """Return where something is mounted here."""
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def test_without_a_mount_namespace_the_root_is_changed_and_nothing_attached_elsewhere(root):
    before = mounted()
    launch = box(root, "ls /")
    launch = msgspec.structs.replace(
        launch, namespaces=("pid",), root=RootSpec(directory=str(root), entry="chroot")
    )
    try:
        code, text = run(launch)
        assert code == 0
        assert "bin" in text.split()
        # What was asked for, in one mount that takes all of it away.
        assert mounted() - before == {str(root), f"{root}/proc", f"{root}/dev"}
    finally:
        subprocess.run(["umount", "--recursive", root], check=True)
    assert mounted() == before


def test_mounts_in_a_joined_mount_namespace_stay_in_it(root):
    with running(box(root, "sleep 60", namespaces=("mnt", "pid"))) as first:
        before = Path("/proc/self/mountinfo").read_text()
        joined = namespaces_of(first.pid, ("mnt",))
        inner = root / "inner"
        make_root(inner)
        launch = box(root, "ls /bin >/dev/null; echo ran", namespaces=("pid",), joined=joined)
        launch = msgspec.structs.replace(launch, root=RootSpec(directory="/inner", nodev=False))
        assert run(launch) == (0, "ran\n")
        assert Path("/proc/self/mountinfo").read_text() == before
