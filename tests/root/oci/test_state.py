"""State and faults: twins, wrong order, and a root directory that is damaged or gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.root.driver import SECONDS

STATE = "container.json"


def cgroups_of(name):
    return [
        f"{directory}/{entry}"
        for directory, names, _ in os.walk("/sys/fs/cgroup")
        for entry in names
        if entry == name
    ]


def test_of_many_creations_of_one_name_one_wins(oci, bundle):
    oci.directory.mkdir(parents=True)
    name, directory = oci.new_id(), str(bundle.write())
    words = oci.words("create", "--bundle", directory, name)
    twins = [
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2, stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    codes = []
    for twin in twins:
        # Not to the end of the pipe, which the container holds open.
        codes.append(twin.wait(SECONDS))
        twin.stderr.close()
    assert sorted(codes) == [0, *[1] * 7]
    assert oci.status(name) == "created"
    oci.start(name)
    assert oci.status(name) == "running"
    # Whoever looked just before the winner had its name sees the cgroup of the winner.
    known = ("already exists", "container's cgroup is not empty")
    for message in oci.messages("error"):
        assert any(words in message for words in known)


def test_of_many_starts_one_has_an_effect(oci, bundle):
    name = oci.create(bundle)
    twins = [subprocess.Popen(oci.words("start", name), stderr=-3) for _ in range(6)]
    codes = sorted(twin.wait(SECONDS) for twin in twins)
    assert codes == [0, *[1] * 5]
    assert oci.status(name) == "running"


def test_a_start_of_what_has_stopped_is_refused(oci, bundle):
    name = oci.up(bundle.args("true"))
    oci.wait(name)
    done = oci.call("start", name)
    assert done.exit_code == 1
    assert "cannot start a container that has stopped" in done.stderr


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "gone"])
@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_a_damaged_state_is_told_and_force_removes_all(oci, bundle, damage, running):
    name = oci.up(bundle) if running else oci.create(bundle)
    pid = oci.state(name)["pid"]
    state = oci.root / name / STATE
    text = state.read_bytes()
    if damage == "gone":
        state.unlink()
    else:
        state.write_bytes({"empty": b"", "cut": text[:40], "garbage": b"\xff\x00"}[damage])
    for command in ("state", "start", "kill", "delete"):
        done = oci.call(command, name)
        assert done.exit_code == 1
        assert "Traceback" not in done.stderr
    oci.ok("list")
    oci.ok("delete", "--force", name)
    assert not (oci.root / name).exists()
    assert not os.path.exists(f"/proc/{pid}/ns/mnt")
    assert cgroups_of(name) == []


def test_a_machine_that_lost_its_run_directory(oci, bundle):
    """The container lives on and is nobody's; its name can be used again once it is gone."""
    name = oci.up(bundle)
    pid = oci.state(name)["pid"]
    shutil.rmtree(oci.root)
    assert oci.status(name) == ""
    oci.ok("delete", "--force", name)
    done = oci.try_create(bundle, name)
    assert done.exit_code == 1
    assert "container's cgroup is not empty" in done.stderr
    os.kill(pid, 9)
    with contextlib.suppress(ChildProcessError):  # whoever adopted it reaps it
        os.waitpid(pid, 0)
    procs = Path(cgroups_of(name)[0]) / "cgroup.procs"
    deadline = time.monotonic() + SECONDS
    while procs.read_text():
        assert time.monotonic() < deadline, "it is not reaped"
    assert oci.try_create(bundle, name).exit_code == 0


def test_a_failed_creation_leaves_its_name_free(oci, bundle):
    name = oci.new_id()
    good = bundle.process["args"]
    done = oci.try_create(bundle.args("/there/is/no/such/program"), name)
    assert done.exit_code == 1
    assert "no such file or directory" in done.stderr
    assert cgroups_of(name) == []
    assert oci.try_create(bundle.args(*good), name).exit_code == 0


def test_delete_beside_exec_leaves_nothing(oci, bundle):
    """A process that comes in while the container goes finds it or does not; nothing stays."""
    for _ in range(5):
        name = oci.up(bundle)
        execs = [
            subprocess.Popen(oci.words("exec", name, "sleep", "1000"), stdin=-3, stderr=-3)
            for _ in range(3)
        ]
        oci.ok("delete", "--force", name)
        for process in execs:
            assert process.wait(SECONDS) in {137, 255}
        assert cgroups_of(name) == []
        assert oci.status(name) == ""


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_root_that_others_may_write_to_is_refused(oci, bundle, mode):
    oci.root.mkdir(parents=True)
    oci.root.chmod(mode)
    done = oci.try_create(bundle, oci.new_id())
    assert done.exit_code == 1
    assert "others may write to it" in done.stderr


def test_a_root_with_a_long_path_is_no_matter(oci, bundle, tmp_path):
    """A socket's name has room for 108 bytes."""
    oci.directory = tmp_path / ("x" * 200) / ("y" * 200)
    name = oci.up(bundle.shell("echo up"))
    oci.wait(name)
    assert oci.output(name) == "up\n"
