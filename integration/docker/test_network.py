"""Networks that docker makes: the runtime joins them, runs the hook that fills them, and leaves."""

from __future__ import annotations

import pytest

from integration.engines.dockerd import IMAGE
from integration.engines.waiting import wait_until

SERVE = ("sh", "-c", "mkdir /www; echo served >/www/index.html; exec httpd -f -p 80 -h /www")


@pytest.fixture
def network(docker):
    """Return a user network."""
    docker("network", "create", "--subnet=10.99.0.0/24", "inner")
    yield "inner"
    docker.remove_all()
    docker("network", "rm", "inner")


def test_a_port_of_a_container_is_reached_from_outside(docker, network):
    docker("run", "--detach", f"--network={network}", "--publish=127.0.0.1:8099:80", IMAGE, *SERVE)
    fetch = ("busybox", "wget", "-q", "-O-", "http://127.0.0.1:8099/")
    run = docker.enclosure.run
    assert wait_until(lambda: run(*fetch, check=False).out, "the page") == "served\n"


def test_containers_reach_each_other_by_name(docker, network):
    docker("run", "--detach", f"--network={network}", "--name=server", IMAGE, *SERVE)
    flags = ("run", "--rm", f"--network={network}")
    script = "until wget -q -O- http://server/ 2>/dev/null; do sleep 0.02; done"
    assert docker(*flags, IMAGE, "sh", "-c", script).out == "served\n"


def test_the_default_bridge(docker):
    words = docker("run", "--rm", IMAGE, "ip", "-o", "-4", "addr", "show", "eth0").words
    assert words[1:4:2] == ["eth0", words[3]]
    assert words[3].startswith("172.")


def test_a_network_added_while_it_runs(docker, network):
    name = docker("run", "--detach", IMAGE, "sleep", "1000").out.strip()
    docker("network", "connect", "--ip=10.99.0.77", network, name)
    assert "10.99.0.77/24" in docker("exec", name, "ip", "-o", "-4", "addr").out


def test_without_a_network_there_is_only_lo(docker):
    lines = docker.run(IMAGE, "ip", "-o", "link").out.splitlines()
    assert [line.split()[1] for line in lines if "LOOPBACK" in line or "ether" in line] == ["lo:"]


def test_the_hosts_network_can_be_used(docker):
    inside = docker("run", "--rm", "--network=host", IMAGE, "cat", "/proc/self/net/dev").out
    assert "docker0:" in inside
