"""A program with file capabilities gets them on its first exec (the case of runc's issue 4125)."""

from __future__ import annotations

import subprocess

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")

BIND = 1 << 10  # CAP_NET_BIND_SERVICE
EACCES = "13"


@pytest.fixture
def server(root):
    """Return a root with a program that may bind low ports by its file capabilities."""
    program = root / "bin/server"
    program.write_bytes((root / "bin/probe").read_bytes())
    program.chmod(0o755)
    subprocess.run(["setcap", "cap_net_bind_service=ep", program], check=True)
    return root


@pytest.fixture
def bound(nestbox, server):
    """Return a function that runs a program of that root as uid 1000 and binds port 80."""

    def run(*flags, program="server"):
        # Ports below 1024 need the capability only where this sysctl says so.
        sysctl = ("--network", "none", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024")
        words = (*flags, *sysctl, "--user", "1000", "--rootfs", str(server), "--", program)
        return nestbox.run(*words, "bind", "80", "+", "capabilities")

    return run


def test_it_binds_port_80_as_a_user_on_its_first_exec(bound):
    done = bound()
    assert done.exit_code == 0, done.stderr
    assert done.facts["bind"] == "0"
    sets = done.sets()
    assert sets["permitted"] == sets["effective"] == BIND
    assert sets["inheritable"] == sets["ambient"] == 0


def test_without_file_capabilities_the_same_program_does_not_bind(bound):
    done = bound(program="probe")
    assert done.facts["bind"] == EACCES
    assert done.sets()["permitted"] == 0


def test_dropping_its_capability_is_told_before_the_launch(bound):
    done = bound("--cap-drop", "NET_BIND_SERVICE")
    assert done.exit_code in {125, 126}
    assert done.stdout == ""
    assert "CAP_NET_BIND_SERVICE" in done.stderr
    assert "/bin/server" in done.stderr or "server" in done.stderr


def test_ambient_binds_without_file_capabilities(bound):
    done = bound("--ambient", "--cap-add", "NET_BIND_SERVICE", program="probe")
    assert done.facts["bind"] == "0"
    assert done.sets()["ambient"] == BIND


def test_no_new_privileges_takes_the_file_capabilities_away(bound):
    done = bound("--security-opt", "no-new-privileges")
    assert done.facts["bind"] == EACCES
    assert done.sets()["permitted"] == 0
