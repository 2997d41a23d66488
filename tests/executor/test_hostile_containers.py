"""What a container that runs already may have done when another process comes into it.

And the process on its way in, which nobody in there may look into: CVE-2016-9962.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nestbox.plan import steps as s
from nestbox.plan.compile_exec import compile_exec
from nestbox.policy.launch_spec import ExecSpec
from tests.executor.boxes import (
    DEV,
    LAST_CAPABILITY,
    PROC,
    box,
    make_root,
    own_sets,
    plan_of,
    shell,
)
from tests.executor.talk import hear, talking
from tests.executor.test_joining import KINDS, namespaces_of

pytestmark = pytest.mark.root

SUID_DUMPABLE = Path("/proc/sys/fs/suid_dumpable")
LABEL = "nestbox-test-profile"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root of a container."""
    return make_root(tmp_path / "root")


def exec_plan(pid: int, **changes: object) -> s.LaunchPlan:
    """Return the plan of a shell in the container of a process."""
    spec = ExecSpec(
        process=shell("true", **changes),
        capabilities=own_sets(),
        drop_bounding=0,
        joined=namespaces_of(pid, KINDS),
    )
    return compile_exec(
        spec, seccomp=None, last_capability=LAST_CAPABILITY, foreground=False, wait_for_cgroup=False
    )


# What the container has mounted over its /proc, and whether it can look like the kernel's.
COVERS = {
    "a tmpfs": "mkdir -p /tmp/self/attr/apparmor && mount -t tmpfs none /proc",
    "a copy": "mkdir -p /tmp/self/attr/apparmor /tmp/1 && : > /tmp/self/attr/exec"
    " && : > /tmp/self/attr/apparmor/exec && mount -o bind /tmp /proc",
    "a part": "mount -o bind /proc/1 /proc",
    "its sys": "mount -o bind /proc/sys /proc",
}


@pytest.mark.parametrize("cover", COVERS)
def test_no_label_is_written_to_what_is_not_proc(root, cover):
    os.mkfifo(root / "tmp/ready")
    script = f"{COVERS[cover]}; echo $? > /tmp/ready; sleep 60"
    launch = box(root, script, namespaces=KINDS, mounts=(PROC, DEV))
    with talking(plan_of(launch)) as (first, _):
        first.go_on()
        assert (root / "tmp/ready").read_text() == "0\n"
        plan = exec_plan(first.pid, apparmor=LABEL)
        with talking(plan) as (talk, _):
            talk.go_on()
            failed = talk.failure()
    assert failed is not None
    step = plan.steps[failed.step]
    assert isinstance(step, (s.OpenDirectory, s.Label)), step
    assert failed.errno in {errno.EXDEV, errno.ENOENT}
    for file in (root / "tmp").rglob("exec"):
        assert file.read_text() == ""


@pytest.fixture
def dumpable_after_changes() -> Iterator[None]:
    """Let the kernel open every process that changes its ids, as some machines do."""
    before = SUID_DUMPABLE.read_text()
    try:
        SUID_DUMPABLE.write_text("1")
    except OSError as error:
        pytest.skip(f"fs.suid_dumpable cannot be set here: {error}")
    yield
    SUID_DUMPABLE.write_text(before)


@pytest.mark.usefixtures("dumpable_after_changes")
@pytest.mark.parametrize("user", [0, 1000])
def test_a_change_of_ids_opens_the_process_to_nobody(user):
    """Files below /proc/PID of a process that is closed belong to root."""
    waits = s.Sync(reason=s.SYNC_CGROUP)
    steps = (s.Dumpable(value=0), s.Ids(uid=user, gid=user, groups=()), waits)
    for given, owner in ((steps, 0), (steps[1:], user)):
        with talking(s.LaunchPlan(namespaces=(), steps=given)) as (talk, _):
            assert hear(talk.control) is not None
            assert os.stat(f"/proc/{talk.pid}/environ").st_uid == owner
