"""Where runc fails under docker because something is missing, nestbox starts, and says why.

CAP_SYS_RESOURCE is taken from every dockerd here, as the reference machine lacks it anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.engines import nestbox, runtimes
from integration.engines.dockerd import IMAGE, Docker
from integration.engines.enclosure import Enclosure
from integration.engines.waiting import wait_until

REFUSAL = "unable to apply caps: operation not permitted"


@pytest.fixture(scope="module")
def place() -> Iterator[Enclosure]:
    """Return a place of these daemons' own: without a bridge they would remove another's."""
    enclosure = Enclosure()
    yield enclosure
    enclosure.close()


def _start(enclosure: Enclosure, layer, name: str, drop: str) -> Docker:
    around = ("capsh", f"--drop={drop}", "--", "-c", 'exec "$@"', "sh")
    docker = Docker(enclosure, runtimes.find("runc"), name=name, around=around)
    docker("import", layer, IMAGE)
    return docker


@pytest.fixture(scope="module")
def without_resource(place, layer) -> Iterator[Docker]:
    """Return a dockerd without CAP_SYS_RESOURCE."""
    docker = _start(place, layer, "without-resource", "cap_sys_resource")
    yield docker
    docker.close()


@pytest.fixture(scope="module")
def without_three(place, layer) -> Iterator[Docker]:
    """Return a dockerd that also lacks a default capability and one that is not."""
    docker = _start(place, layer, "without-three", "cap_sys_resource,cap_mknod,cap_sys_boot")
    yield docker
    docker.close()


def _capabilities(docker: Docker, name: str) -> set[int]:
    line = docker("exec", name, "grep", "CapBnd", "/proc/1/status").words[1]
    return {bit for bit in range(64) if int(line, 16) >> bit & 1}


CASES = [
    ("without_resource", ["--privileged"], {"CAP_SYS_RESOURCE": 24}),
    ("without_resource", ["--cap-add=SYS_RESOURCE"], {"CAP_SYS_RESOURCE": 24}),
    ("without_three", [], {"CAP_MKNOD": 27}),
    (
        "without_three",
        ["--privileged"],
        {"CAP_SYS_RESOURCE": 24, "CAP_MKNOD": 27, "CAP_SYS_BOOT": 22},
    ),
]


@pytest.mark.parametrize(("which", "flags", "missing"), CASES)
def test_runc_fails_and_nestbox_starts(which, flags, missing, request):
    docker = request.getfixturevalue(which)
    peer = docker.run("--runtime=runc", *flags, IMAGE, "true", check=False)
    assert peer.status == 125, peer
    assert REFUSAL in peer.err

    name = docker.start("--runtime=nestbox", *flags, IMAGE, "sleep", "1000")
    assert not _capabilities(docker, name) & set(missing.values())
    warned = nestbox.warnings(docker.log(name))
    for capability in missing:
        assert capability in warned
        told = nestbox.explain(docker.enclosure, name, capability)
        assert capability in told
        assert "outer" in told
    docker("rm", "--force", name)


def test_plain_run_needs_nothing_that_is_missing(without_resource):
    done = without_resource.run("--runtime=runc", IMAGE, "echo", "as ever")
    assert done.out == "as ever\n"


def test_a_clean_launch_warns_of_nothing(without_resource):
    docker = without_resource
    name = docker.start("--runtime=nestbox", IMAGE, "sleep", "1000")
    assert nestbox.warnings(docker.log(name)) == ""
    docker("rm", "--force", name)


def test_a_limit_that_cannot_be_raised_is_clamped(without_resource):
    docker = without_resource
    flags = ("--ulimit=nofile=900000:900000", "--oom-score-adj=-900")
    peer = docker.run("--runtime=runc", *flags, IMAGE, "true", check=False)
    assert peer.status == 125, peer
    name = docker.start("--runtime=nestbox", *flags, IMAGE, "sleep", "1000")
    hard = docker("exec", name, "sh", "-c", "grep 'Max open files' /proc/1/limits").words[4]
    assert int(hard) < 900000
    warned = nestbox.warnings(docker.log(name))
    assert "RLIMIT_NOFILE" in warned
    assert "oom_score_adj" in warned
    docker("rm", "--force", name)


def test_exec_leaves_out_what_is_missing(without_resource):
    docker = without_resource
    name = docker.start("--runtime=nestbox", IMAGE, "sleep", "1000")
    show = ("grep", "CapEff", "/proc/self/status")
    effective = int(docker("exec", "--privileged", name, *show).words[1], 16)
    assert effective >> 21 & 1, "CAP_SYS_ADMIN is there"
    assert not effective >> 24 & 1
    docker("rm", "--force", name)


def test_a_health_check_and_a_restart_work_without_a_default_capability(without_three):
    docker = without_three
    flags = ("--runtime=nestbox", "--health-cmd=true", "--health-interval=200ms")
    name = docker.start(*flags, IMAGE, "sleep", "1000")
    wait_until(lambda: docker.state(name)["Health"]["Status"] == "healthy", "it is found well")
    docker("restart", "--time=0", name)
    assert docker.state(name)["Running"]
    docker("rm", "--force", name)
