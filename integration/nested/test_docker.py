"""dockerd in `nestbox run --privileged` runs containers with runc and with nestbox.

On the machine that nestbox is written on, dockerd itself starts none that is privileged.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.engines.dockerd import IMAGE
from integration.engines.enclosure import CGROUPS
from integration.engines.inside import NESTBOX, empty_archive, volumes

RUNTIMES = ("runc", "nestbox")
RESOURCE = 24  # CAP_SYS_RESOURCE


def _bounding(text: str) -> int:
    return next(int(line.split()[1], 16) for line in text.splitlines() if "CapBnd" in line)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_has_what_it_has_on_a_machine(docker, runtime):
    shown = "id -u; hostname; grep CapBnd /proc/self/status; ls /sys/fs/cgroup | wc -l"
    done = docker.run(f"--runtime={runtime}", "--hostname=box", IMAGE, "sh", "-c", shown)
    assert done.words[:2] == ["0", "box"]
    assert _bounding(done.out) == 0xA80425FB
    assert int(done.words[-1]) > 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_limits_are_enforced(docker, runtime):
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    words = ("--memory=64m", f"--runtime={runtime}", IMAGE, "sh", "-c", f"{limit} 2>/dev/null")
    assert docker.run(*words, check=False).out.strip() == "67108864"
    killed = docker.run(*words[:2], IMAGE, "sh", "-c", "head -c 200m /dev/zero | tail", check=False)
    assert killed.status != 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_containers_reach_each_other_over_a_bridge(docker, runtime):
    done = docker("run", "--rm", f"--runtime={runtime}", IMAGE, "ip", "route")
    gateway = done.words[done.words.index("via") + 1]
    ping = ("ping", "-c1", "-W5", gateway)
    assert "1 packets received" in docker("run", "--rm", f"--runtime={runtime}", IMAGE, *ping).out


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_exec_stop_and_the_exit_code(docker, runtime):
    name = docker.start(
        f"--runtime={runtime}", IMAGE, "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"
    )
    assert docker("exec", "-u", "1000", name, "id", "-u").words == ["1000"]
    docker("stop", "--time=20", name)
    assert docker.state(name)["ExitCode"] == 3


def test_what_it_stores_lies_on_a_disk_in_overlays(docker, place):
    assert "overlay2" in docker("info", "--format={{.Driver}}").out
    volume = place.place / "shared"
    volume.mkdir()
    docker.run(f"-v={volume}:/data", IMAGE, "sh", "-c", "echo kept >/data/file")
    assert (volume / "file").read_text() == "kept\n"


def test_an_image_is_built(docker, place):
    context = place.place / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo built >/etc/built\n")
    docker("build", "--tag=built", context)
    assert docker.run("built", "cat", "/etc/built").out == "built\n"


def test_a_privileged_container_starts_where_the_peer_lacks_a_capability(docker):
    mine = _bounding(Path("/proc/self/status").read_text())
    shown = ("--privileged", IMAGE, "grep", "CapBnd", "/proc/self/status")
    inside = _bounding(docker.run("--runtime=nestbox", *shown).out)
    assert inside & ~mine == 0
    assert inside >> 21 & 1  # CAP_SYS_ADMIN
    peer = docker.run("--runtime=runc", *shown, check=False)
    assert (peer.status == 0) == bool(mine >> RESOURCE & 1), peer


def test_nestbox_starts_in_a_container_of_that_docker(docker, place, root):
    """Four deep: nestbox, docker, nestbox as its runtime, nestbox."""
    docker("import", empty_archive(place.place), "empty:1")
    words = (NESTBOX, "run", "--rootfs=/rootfs", "--", "id", "-u")
    flags = ("--runtime=nestbox", "--privileged", *volumes(root))
    done = docker.run(*flags, "empty:1", *words, check=False)
    assert (done.status, done.out) == (0, "0\n"), done


def test_its_cgroups_lie_below_that_of_the_container_around_it(docker):
    name = docker.start(IMAGE, "sleep", "1000")
    found = [path for path in CGROUPS.rglob("cgroup.procs") if name in path.parts]
    assert found
    assert all(any(part.startswith("nestbox-") for part in path.parts) for path in found)
