"""A dockerd with `--userns-remap`: every container is in a user namespace of its own ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.engines.dockerd import IMAGE, Docker
from integration.engines.enclosure import Enclosure

FIRST = 300000


@pytest.fixture(scope="module")
def docker(engine_runtime, layer) -> Iterator[Docker]:
    """Return that daemon, in a place where one user has a range of subordinate ids."""
    place = Enclosure()
    for name in ("subuid", "subgid"):
        (place.place / name).write_text(f"daemon:{FIRST}:65536\n")
        place.run("mount", "--bind", place.place / name, f"/etc/{name}")
    daemon = Docker(place, engine_runtime, name="remapped", options=("--userns-remap=daemon",))
    daemon("import", layer, IMAGE)
    yield daemon
    daemon.close()
    place.close()


@pytest.fixture(autouse=True)
def _no_containers(docker):
    yield
    docker.remove_all()


def test_root_inside_is_another_outside(docker):
    assert docker.run(IMAGE, "cat", "/proc/self/uid_map").words == ["0", str(FIRST), "65536"]
    name = docker.start("-u=1000", IMAGE, "sleep", "1000")
    assert Path(f"/proc/{docker.state(name)['Pid']}").stat().st_uid == FIRST + 1000


def test_files_belong_to_the_container(docker):
    script = "touch /new && chown worker /new && stat -c %U /new && ls -ld /etc | cut -d' ' -f5"
    assert docker.run(IMAGE, "sh", "-c", script).words[0] == "worker"


def test_exec_and_a_terminal(docker):
    name = docker.start(IMAGE, "sleep", "1000")
    assert docker("exec", name, "cat", "/proc/self/uid_map").words[1] == str(FIRST)
    person = docker.terminal("exec", "-it", name, "sh")
    try:
        person.type("tty; exit 5\n")
        person.read_until(r"/dev/pts/\d+\r")
        assert person.end() == 5
    finally:
        person.close()


def test_what_needs_power_outside_is_refused(docker):
    done = docker.run(IMAGE, "mknod", "/dev/new", "c", "1", "3", check=False)
    assert done.status == 1
    assert "Operation not permitted" in done.err


def test_devices_and_pseudo_files_are_there(docker):
    script = (
        "echo x >/dev/null && head -c 4 /dev/zero | wc -c && readlink /proc/self/fd/0 >/dev/null"
    )
    assert docker.run(IMAGE, "sh", "-c", script).words == ["4"]


def test_limits(docker):
    name = docker.start("--memory=64m", "--pids-limit=33", IMAGE, "sleep", "1000")
    assert docker("stats", "--no-stream", "--format={{.MemUsage}}", name).out.endswith("64MiB\n")


def test_built(docker, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN id -u >/who\n")
    docker("build", "--network=none", "--tag=built:1", tmp_path)
    assert docker.run("built:1", "cat", "/who").out == "0\n"
