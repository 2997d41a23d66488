"""What a container of docker may do: capabilities, privileged, filters, paths, namespaces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.engines.dockerd import IMAGE

# Source: moby, the capabilities that a container gets without any flag.
DEFAULT = "00000000a80425fb"


def _sets(docker, *flags):
    lines = docker.run(*flags, IMAGE, "grep", "^Cap", "/proc/self/status").out.splitlines()
    return {line.split()[0][3:6].lower(): line.split()[1] for line in lines}


def _namespace(docker, name, *flags):
    return docker.run(*flags, IMAGE, "readlink", f"/proc/self/ns/{name}").out.strip()


def _outside(docker, name):
    return docker.enclosure.run("readlink", f"/proc/self/ns/{name}").out.strip()


def test_default_capabilities(docker):
    sets = _sets(docker)
    assert sets == {
        "inh": "0" * 16, "prm": DEFAULT, "eff": DEFAULT, "bnd": DEFAULT, "amb": "0" * 16
    }  # fmt: skip


def test_added_and_dropped(docker):
    assert _sets(docker, "--cap-add=NET_ADMIN")["eff"] == "00000000a80435fb"
    assert _sets(docker, "--cap-drop=ALL", "--cap-add=KILL")["bnd"] == "0000000000000020"
    assert _sets(docker, "--cap-drop=MKNOD")["eff"] == "00000000a00425fb"


def test_another_user_has_none_but_could_regain_them(docker):
    sets = _sets(docker, "-u=1000", "--cap-add=NET_ADMIN")
    assert (sets["prm"], sets["eff"]) == ("0" * 16, "0" * 16)
    assert sets["bnd"] == "00000000a80435fb"


def test_no_new_privileges(docker):
    done = docker.run(
        "--security-opt=no-new-privileges", IMAGE, "grep", "NoNewPrivs", "/proc/self/status"
    )
    assert done.words == ["NoNewPrivs:", "1"]


def test_the_filter_is_there_unless_it_is_turned_off(docker):
    show = (IMAGE, "grep", "Seccomp:", "/proc/self/status")
    assert docker.run(*show).words == ["Seccomp:", "2"]
    assert docker.run("--security-opt=seccomp=unconfined", *show).words == ["Seccomp:", "0"]


def test_a_filter_of_ones_own(docker, tmp_path):
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    profile = tmp_path / "filter.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    flag = f"--security-opt=seccomp={profile}"
    done = docker.run(flag, IMAGE, "sh", "-c", "mkdir /here; touch /there && echo made")
    assert done.out == "made\n"
    assert "No space left on device" in done.err


def test_hidden_and_read_only_paths(docker):
    script = (
        "cat /proc/keys /proc/timer_list; ls /proc/scsi /sys/firmware; "
        "echo 9 >/proc/sys/kernel/msgmax; mkdir /sys/kernel/new"
    )
    done = docker.run(IMAGE, "sh", "-c", script, check=False)
    assert done.words in ([], ["/sys/firmware:"], ["/proc/scsi:", "/sys/firmware:"]), done
    assert done.err.count("Read-only file system") == 2, done


def test_paths_are_shown_when_asked(docker):
    flag = "--security-opt=systempaths=unconfined"
    done = docker.run(flag, IMAGE, "grep", "-c", " /proc/", "/proc/mounts", check=False)
    assert done.words == ["0"]


@pytest.mark.parametrize("name", ["net", "ipc", "uts", "pid"])
def test_own_namespaces_unless_the_hosts_are_asked_for(docker, name):
    flag = "--network=host" if name == "net" else f"--{name}=host"
    flags = ("run", "--rm", flag)
    shared = docker(*flags, IMAGE, "readlink", f"/proc/self/ns/{name}").out.strip()
    assert shared == _outside(docker, name)
    assert _namespace(docker, name) != _outside(docker, name)


def test_a_cgroup_namespace(docker):
    shared = docker.run("--cgroupns=host", IMAGE, "readlink", "/proc/self/ns/cgroup").out
    assert shared == docker.enclosure.run("readlink", "/proc/self/ns/cgroup").out
    own = docker.run("--cgroupns=private", IMAGE, "cat", "/proc/self/cgroup").out
    assert {line.split(":", 2)[2] for line in own.splitlines() if "name=" not in line} == {"/"}


@pytest.mark.parametrize("name", ["pid", "ipc", "net"])
def test_namespace_of_another_container(docker, name):
    first = docker.start("--ipc=shareable", IMAGE, "sleep", "1000")
    flag = "--network" if name == "net" else f"--{name}"
    show = (IMAGE, "readlink", f"/proc/self/ns/{name}")
    shared = docker("run", "--rm", f"{flag}=container:{first}", *show).out.strip()
    assert shared == docker("exec", first, *show[1:]).out.strip()


def test_processes_of_another_container_are_seen(docker):
    first = docker.start(IMAGE, "sleep", "1234")
    assert "sleep 1234" in docker.run(f"--pid=container:{first}", IMAGE, "ps").out


class TestPrivileged:
    """`--privileged`: everything that there is, which a peer refuses where something is missing."""

    @pytest.fixture(autouse=True)
    def _only_where_it_starts(self, engine_runtime):
        if not engine_runtime.is_nestbox and not _has_every_capability():
            pytest.skip(f"{engine_runtime.name} fails without CAP_SYS_RESOURCE (test_headline.py)")

    def test_everything_that_there_is(self, docker):
        sets = _sets(docker, "--privileged")
        assert sets["eff"] == sets["bnd"] == sets["prm"]
        assert int(sets["bnd"], 16) in _privileged("CapBnd")
        assert sets["amb"] == sets["inh"] == "0" * 16

    def test_devices_mounts_and_no_filter(self, docker):
        script = (
            "grep Seccomp: /proc/self/status; mount -t tmpfs none /mnt && echo mounted; "
            "ls /dev | wc -w; grep -c ' /proc/' /proc/mounts"
        )
        done = docker.run("--privileged", IMAGE, "sh", "-c", script, check=False)
        assert done.words[:3] == ["Seccomp:", "0", "mounted"]
        assert int(done.words[3]) >= sum(
            entry.is_char_device() or entry.is_block_device() for entry in Path("/dev").iterdir()
        )
        assert done.words[4] == "0"

    def test_exec_is_privileged_too(self, docker):
        name = docker.start(IMAGE, "sleep", "1000")
        show = ("grep", "CapEff", "/proc/self/status")
        assert docker("exec", name, *show).words[1] == DEFAULT
        more = docker("exec", "--privileged", name, *show).words[1]
        assert int(more, 16) in _privileged("CapEff")


def _here(name: str) -> str:
    """Return a capability set of this process, which the engine inherits."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(name))


def _privileged(name: str) -> tuple[int, int]:
    """Return what privileged can be: all that is here, or of it what dockerd 20.10 knows."""
    here = int(_here(name), 16)
    return here, here & (1 << 38) - 1


def _has_every_capability() -> bool:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return _here("CapBnd") == f"{(1 << last + 1) - 1:016x}"
