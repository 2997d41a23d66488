"""Outcomes of trials are kept, and only believed when they are ours and whole."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import msgspec
import pytest

from nestbox.outer import derived, probe
from nestbox.outer.facts import Subject, Trial
from nestbox.outer.sources import Sources
from nestbox.outer.trials import Outcomes, Trials
from tests.users import another_user

KEY = "0" * 32
FORGED = {"mnt": Trial(error="EINVAL")}


def _forge(directory, *, key=KEY, mode=0o600):
    """Write outcomes that no trial would have, and return the path of the file."""
    facts = directory / "facts"
    facts.mkdir(mode=0o700, exist_ok=True)
    path = facts / f"{KEY}.json"
    path.write_bytes(
        msgspec.json.encode(Outcomes(fingerprint=key, create=FORGED, create_with_user=FORGED))
    )
    path.chmod(mode)
    return path


def test_what_was_tried_is_not_tried_again(tmp_path):
    _forge(tmp_path)
    assert Trials(str(tmp_path), KEY).namespaces() == (FORGED, FORGED)


def test_outcomes_of_another_environment_are_not_used(tmp_path):
    _forge(tmp_path, key="1" * 32)
    assert Trials(str(tmp_path), KEY).namespaces()[0] != FORGED


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_outcomes_that_others_may_write_are_not_used(tmp_path, mode):
    _forge(tmp_path, mode=mode)
    assert Trials(str(tmp_path), KEY).namespaces()[0] != FORGED


@pytest.mark.root
def test_outcomes_of_another_owner_are_not_used(tmp_path):
    os.chown(_forge(tmp_path), 65534, 65534)
    assert Trials(str(tmp_path), KEY).namespaces()[0] != FORGED


def _truncate(path):
    path.write_bytes(path.read_bytes()[:20])


def _link(path):
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def _pipe(path):
    path.unlink()
    os.mkfifo(path, 0o600)


def _directory(path):
    path.unlink()
    path.mkdir()


def _huge(path):
    with path.open("ab") as file:
        file.write(b" " * (1 << 19))


def _unknown_field(path):
    value = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**value, "more": 1}))


@pytest.mark.parametrize("damage", [_truncate, _link, _pipe, _directory, _huge, _unknown_field])
def test_a_damaged_file_counts_as_absent(tmp_path, damage):
    damage(_forge(tmp_path))
    trials = Trials(str(tmp_path), KEY)
    assert trials.namespaces()[0] != FORGED
    trials.save()


def test_outcomes_are_written_for_us_alone_and_read_back(tmp_path):
    state = tmp_path / "state"
    trials = Trials(str(state), KEY)
    tried = trials.namespaces()
    trials.save()
    (path,) = (state / "facts").iterdir()
    assert path.name == f"{KEY}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert Trials(str(state), KEY).namespaces() == tried


def test_parts_that_are_tried_later_are_added(tmp_path):
    first = Trials(str(tmp_path), KEY)
    namespaces = first.namespaces()
    first.save()
    second = Trials(str(tmp_path), KEY)
    steps = second.user_steps()
    second.save()
    outcomes = msgspec.json.decode((tmp_path / "facts" / f"{KEY}.json").read_bytes(), type=Outcomes)
    assert (outcomes.create, outcomes.create_with_user) == namespaces
    assert outcomes.user_steps == steps


def test_what_failed_is_tried_again_since_a_sysctl_may_have_been_the_reason(tmp_path):
    path = _forge(tmp_path)
    failed = {"user": Trial(error="ENOSPC")}
    path.write_bytes(
        msgspec.json.encode(Outcomes(fingerprint=KEY, create=failed, create_with_user=failed))
    )
    create, with_user = Trials(str(tmp_path), KEY).namespaces()
    assert failed not in (create, with_user)


def test_a_filter_is_asked_each_time_since_two_can_look_alike(tmp_path):
    first = Trials(str(tmp_path), KEY)
    assert first.syscalls(can_setgroups=False)["clone"].works
    first.save()
    assert not (tmp_path / "facts").exists()


def test_calls_that_no_launch_needs_are_told_apart(tmp_path):
    trials = Trials(str(tmp_path), KEY)
    found = trials.fallbacks(trials.syscalls(can_setgroups=False))
    assert {"copy_file_range", "fchmodat2", "renameat2"} <= set(found)
    assert not {"clone", "openat2", "mount"} & set(found)


def test_a_trial_that_took_too_long_is_not_remembered(tmp_path):
    path = _forge(tmp_path)
    slow = {"mnt": Trial(error="TIMEOUT")}
    path.write_bytes(
        msgspec.json.encode(Outcomes(fingerprint=KEY, create=slow, create_with_user=slow))
    )
    before = path.read_bytes()
    trials = Trials(str(tmp_path), KEY)
    trials.mknod()
    trials.save()
    assert path.read_bytes() == before


def test_a_state_directory_that_cannot_be_written_does_not_stop_an_observation(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = probe.observe(
        frozenset({Subject.STORAGE, Subject.NAMESPACES}), state_directory=str(blocked / "state")
    )
    assert found.storage.overlay.error == "ENOTDIR"
    assert found.namespaces.create
    assert blocked.read_text() == ""


def test_old_outcomes_are_forgotten(tmp_path):
    facts = tmp_path / "facts"
    facts.mkdir(mode=0o700)
    for number in range(80):
        path = facts / f"old-{number:03}.json"
        path.write_text("{}")
        os.utime(path, (number, number))
    trials = Trials(str(tmp_path), KEY)
    trials.namespaces()
    trials.save()
    names = sorted(path.name for path in facts.iterdir())
    assert len(names) == 64
    assert names[0] == f"{KEY}.json"
    assert names[1] == "old-017.json"


@pytest.mark.root
def test_an_overlay_is_tried_in_the_state_directory_and_leaves_nothing_there(tmp_path):
    mounts = Sources().mounts
    abandoned = tmp_path / "trial-4194305" / "work"  # above the highest pid that Linux gives out
    abandoned.mkdir(parents=True)
    storage = Trials(str(tmp_path), KEY).storage(mounts)
    assert storage.state_directory == str(tmp_path)
    assert storage.overlay_tmpfs.works
    assert storage.overlay_user_directory.works
    assert list(tmp_path.iterdir()) == []
    assert Sources().mounts == mounts


@pytest.mark.root
def test_mounts_below_the_lower_layer_are_what_a_user_namespace_refuses(tmp_path):
    mounts = Sources().mounts
    storage = Trials(str(tmp_path), KEY).storage(mounts)
    refused = "EINVAL" if derived.overmounts(mounts, "/") else None
    assert storage.overlay_user.error == refused
    assert storage.overlay_tmpfs_directory.works


@pytest.mark.root
def test_overlays_are_tried_again_for_another_state_directory(tmp_path):
    mounts = Sources().mounts
    trials = Trials(str(tmp_path), KEY)
    assert trials.storage(mounts).overlay.works
    with_file = Trials("/proc/none", KEY)
    assert with_file.storage(mounts).overlay.error == "ENOENT"


@pytest.mark.root
def test_without_sys_admin_nothing_but_a_user_namespace_can_be_made(observe_under):
    command = ["capsh", "--drop=cap_sys_admin", f"--shell={sys.executable}", "--", "-c"]
    command.append("import os, sys; os.execv(sys.argv[1], sys.argv[1:])")
    found = observe_under(command, frozenset({Subject.NAMESPACES, Subject.STORAGE}))
    create = found.namespaces.create
    assert {name for name, trial in create.items() if trial.works} == {"user"}
    assert {trial.error for name, trial in create.items() if name != "user"} == {"EPERM"}
    assert all(trial.works for trial in found.namespaces.create_with_user.values())
    assert found.storage.overlay.error == "EPERM"
    assert found.storage.overlay_user_directory.works


@pytest.mark.root
def test_threads_that_try_overlays_at_the_same_time_do_not_disturb_each_other(tmp_path):
    mounts = Sources().mounts
    found = []

    def run():
        found.append(Trials(str(tmp_path), KEY).storage(mounts).overlay)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trial.error for trial in found] == [None] * 6
    assert list(tmp_path.iterdir()) == []


def test_threads_that_try_at_the_same_time_leave_one_whole_file(tmp_path):
    def run():
        trials = Trials(str(tmp_path), KEY)
        trials.namespaces()
        trials.save()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = (tmp_path / "facts").iterdir()
    outcomes = msgspec.json.decode(path.read_bytes(), type=Outcomes)
    assert outcomes.create is not None


@pytest.mark.root
def test_a_limit_on_processes_is_an_error_in_words():
    # Root is not held to RLIMIT_NPROC, so another user tries.
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (1, 1));"
        "from nestbox.outer.trials import Trials; Trials('/proc/none', '0').mknod()"
    )
    done = subprocess.run(
        [*another_user(), sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "EnvironmentUnreadable: cannot try in a child process" in done.stderr
    assert "resource temporarily unavailable" in done.stderr


@pytest.mark.root
@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_the_kernel_s_file_systems_are_mounted_by_way_of_trial(tmp_path, in_user_namespace):
    found = Trials(str(tmp_path), "f").mounts(in_user_namespace=in_user_namespace)
    assert {"proc", "sysfs", "mqueue", "devpts"} <= {*found}
    assert ("sysfs ro" in found) == (not found["sysfs"].works)


@pytest.mark.root
def test_a_file_system_that_could_not_be_mounted_is_tried_again(tmp_path):
    """What covers the outer one may be gone, which no fingerprint tells."""
    denied = {"proc": Trial(error="EPERM")}
    trials = Trials(str(tmp_path), "f")
    trials._keep(mount_with_user=denied, mount={"proc": Trial(error=None)})
    trials.save()
    again = Trials(str(tmp_path), "f")
    assert {*again.mounts(in_user_namespace=True)} > {"proc"}
    assert again.mounts(in_user_namespace=False) == {"proc": Trial(error=None)}
