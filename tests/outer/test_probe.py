"""Observation of the real environment, as it is and changed by other programs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from nestbox.kernel import constants
from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer import derived, probe
from nestbox.outer.facts import OuterEnvironment, Subject
from tests.users import another_user

RIGHTS = frozenset({Subject.CAPABILITIES})
USER_NAMESPACE = ["unshare", "--user", "--map-root-user"]


def _capsh(*arguments):
    """Return the command that runs Python under capsh."""
    return ["capsh", *arguments, f"--shell={sys.executable}", "--"]


@pytest.fixture
def under_capsh(observe_under):
    """Observe under capsh, which calls the shell that it is given with what follows ``--``."""

    def observe(arguments, subjects):
        return observe_under([*_capsh(*arguments), "-c", _REEXEC], subjects)

    return observe


_REEXEC = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


def test_exactly_the_subjects_that_were_asked_for_are_observed(tmp_path):
    for subject in Subject:
        found = probe.observe(frozenset({subject}), state_directory=str(tmp_path))
        seen = {name for name in Subject if getattr(found, name.value) is not None}
        assert seen == {subject}


def test_nothing_asked_for_is_nothing_observed(tmp_path):
    found = probe.observe(frozenset(), state_directory=str(tmp_path / "never-made"))
    assert found == OuterEnvironment()
    assert not (tmp_path / "never-made").exists()


def test_extending_keeps_what_is_known_and_observes_the_rest(tmp_path):
    first = probe.observe(frozenset({Subject.KERNEL}), state_directory=str(tmp_path))
    more = probe.extend(
        first, frozenset({Subject.KERNEL, Subject.IDENTITY}), state_directory=str(tmp_path)
    )
    assert more.kernel is first.kernel
    assert more.identity is not None
    assert more.identity.pid == os.getpid()


def test_the_mount_of_a_directory_is_the_one_of_its_device(tmp_path):
    found = probe.observe(frozenset({Subject.MOUNTS}), state_directory=str(tmp_path))
    for path in ("/", "/proc", "/proc/self", "/dev", str(tmp_path)):
        mount = derived.mount_at(found.mounts, os.path.realpath(path))
        assert mount is not None
        device = os.stat(path).st_dev
        assert mount.device == f"{os.major(device)}:{os.minor(device)}", path


@pytest.mark.root
def test_capabilities_dropped_outside_are_missing_in_bounding(under_capsh):
    here = under_capsh([], RIGHTS).capabilities
    dropped = under_capsh(["--drop=cap_sys_boot,cap_sys_module"], RIGHTS).capabilities
    missing = 1 << BY_NAME["CAP_SYS_BOOT"] | 1 << BY_NAME["CAP_SYS_MODULE"]
    assert here.sets.bounding & missing == missing
    assert dropped.sets.bounding == here.sets.bounding & ~missing
    assert dropped.sets.permitted == here.sets.permitted & ~missing
    assert dropped.last == here.last


@pytest.mark.root
def test_inheritable_and_ambient_are_seen_apart(under_capsh):
    arguments = ["--inh=cap_net_raw,cap_chown", "--addamb=cap_net_raw"]
    sets = under_capsh(arguments, RIGHTS).capabilities.sets
    assert sets.inheritable == 1 << BY_NAME["CAP_NET_RAW"] | 1 << BY_NAME["CAP_CHOWN"]
    assert sets.ambient == 1 << BY_NAME["CAP_NET_RAW"]


@pytest.mark.root
def test_no_new_privs_and_securebits_are_seen(observe_under, under_capsh):
    found = observe_under(["setpriv", "--no-new-privs"], RIGHTS)
    assert found.capabilities.no_new_privs is True
    found = under_capsh(["--secbits=0x4"], RIGHTS)
    assert found.capabilities.securebits == constants.SECBIT_NO_SETUID_FIXUP


@pytest.mark.root
def test_a_user_without_rights_has_empty_sets_and_a_full_bounding_one(observe_under, tmp_path):
    tmp_path.chmod(0o777)
    here = observe_under([], RIGHTS).capabilities
    found = observe_under(another_user(), RIGHTS | {Subject.IDENTITY}, state_directory="/proc/none")
    assert found.capabilities.sets.permitted == 0
    assert found.capabilities.sets.effective == 0
    assert found.capabilities.sets.bounding == here.sets.bounding
    assert (found.identity.uid, found.identity.gid, found.identity.groups) == (65534, 65534, ())


@pytest.mark.root
def test_a_user_namespace_is_seen_with_its_maps_and_full_sets(observe_under):
    subjects = RIGHTS | {Subject.USER_NAMESPACE}
    found = observe_under(USER_NAMESPACE, subjects)
    namespace = found.user_namespace
    assert namespace.initial is False
    assert namespace.depth >= 1
    assert namespace.owner_uid == 0
    assert [(row.inside, row.outside, row.count) for row in namespace.uid_map] == [(0, 0, 1)]
    assert namespace.setgroups_denied is True
    assert found.capabilities.sets.bounding == (1 << found.capabilities.last + 1) - 1


@pytest.mark.root
def test_namespaces_that_a_limit_forbids_are_not_available(observe_under):
    shell = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$0" "$@"'
    found = observe_under([*USER_NAMESPACE, "sh", "-c", shell], frozenset({Subject.NAMESPACES}))
    assert found.namespaces.create["net"].error == "ENOSPC"
    assert found.namespaces.create_with_user["net"].error == "ENOSPC"
    assert found.namespaces.create["mnt"].works
    assert found.namespaces.create_with_user["user"].works


@pytest.mark.root
def test_where_a_capability_was_lost_is_found_in_the_ancestry(under_capsh, observe_under):
    script = 'exec 3>&1; ("$0" "$@"); exit $?'
    command = [*_capsh("--drop=cap_sys_boot"), "-c", _REEXEC, "/bin/sh", "-c", script]
    found = observe_under(command, RIGHTS | {Subject.ANCESTRY})
    number = BY_NAME["CAP_SYS_BOOT"]
    loss = derived.lost_at(found.capabilities.sets, found.ancestry, number)
    assert loss is not None
    assert loss.ancestor == found.ancestry[0]
    assert loss.ancestor.name == "sh"
    assert loss.outermost is False
    assert derived.lost_at(found.capabilities.sets, found.ancestry, BY_NAME["CAP_CHOWN"]) is None


def test_ancestry_goes_from_the_parent_to_pid_1(observe_under):
    found = observe_under([], frozenset({Subject.ANCESTRY}))
    assert found.ancestry[0].pid == os.getpid()
    assert found.ancestry[-1].pid == 1
    assert len({ancestor.pid for ancestor in found.ancestry}) == len(found.ancestry)


@pytest.mark.root
def test_a_parent_outside_the_pid_namespace_ends_the_ancestry(observe_under):
    command = ["unshare", "--pid", "--fork", "--mount-proc"]
    found = observe_under(command, frozenset({Subject.ANCESTRY, Subject.IDENTITY}))
    assert found.identity.pid == 1
    assert found.ancestry == ()


HIDE_PROC = ["unshare", "--mount", "sh", "-c"]


@pytest.mark.root
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ("mount -t tmpfs none /proc", "it does not exist"),
        (
            "cat /proc/self/status > /tmp/status.$$ && mount -t tmpfs none /proc &&"
            " mkdir /proc/thread-self && mv /tmp/status.$$ /proc/thread-self/status",
            "it is not on a proc file system",
        ),
        (
            "mount -t tmpfs none /mnt && echo 99 > /mnt/last &&"
            " mount --bind /mnt/last /proc/sys/kernel/cap_last_cap",
            "it is not on a proc file system",
        ),
    ],
    ids=["no-proc", "forged-proc", "forged-cap-last-cap"],
)
def test_without_the_kernel_s_own_proc_nothing_is_guessed(observe_under, change, cause):
    done = observe_under.run([*HIDE_PROC, f'{change} && exec "$0" "$@"'], RIGHTS)
    assert done.returncode == 1
    assert done.stdout == b""
    name, what, found, remedy = done.stderr.decode().strip().split("|")
    assert name == "EnvironmentUnreadable"
    assert "/proc" in what
    assert found == cause
    assert remedy.startswith("mount the kernel's own")


@pytest.mark.root
def test_a_status_of_another_process_over_our_own_is_noticed(observe_under):
    # The forged text is the kernel's own, of a process that has more.
    script = (
        "capsh --drop=cap_sys_boot -- -c '"
        "mount --bind /proc/$PPID/status /proc/$$/task/$$/status || exit 9;"
        'exec "$0" "$@"\' "$0" "$@"; exit $?'
    )
    done = observe_under.run([*HIDE_PROC, script], RIGHTS)
    assert done.returncode == 1
    assert "the permitted set is" in done.stderr.decode()
    assert "EnvironmentUnreadable" in done.stderr.decode()


def test_observation_from_many_threads_is_the_same(tmp_path):
    subjects = frozenset({Subject.KERNEL, Subject.CAPABILITIES, Subject.NAMESPACES})
    found = []

    def run():
        found.append(probe.observe(subjects, state_directory=str(tmp_path)))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(environment == found[0] for environment in found)


def test_a_launch_s_observation_imports_nothing_heavy():
    script = (
        "import sys, msgspec; before = set(sys.modules);"
        "from nestbox.outer import probe, recording, root; print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    heavy = {"json", "subprocess", "tempfile", "logging", "pathlib", "inspect", "dataclasses"}
    heavy |= {"argparse", "yaml", "click", "rich", "docker", "hashlib", "cffi", "shutil", "socket"}
    assert not heavy & set(done.stdout.split())
