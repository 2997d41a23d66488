"""Networks of a container's own with a way out: reached, published, refused, taken away."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.root import networks
from tests.root.driver import SECONDS, end, expect_line
from tests.root.networks import OUTER, PORT, SLIRP, WORLD
from tests.users import another_user

# Older versions of pasta lose the end of a connection now and then, and nc waits for it.
ASK = f"busybox timeout 3 busybox nc -w 5 {WORLD} {PORT} | head -n 1"
RUNGS = {
    "bridge": (),
    "bridge in a user namespace": ("--userns", "auto"),
    "slirp4netns": (),
    "slirp4netns in a user namespace": ("--userns", "auto"),
    "pasta in a user namespace": ("--userns", "auto"),
}
WAIT = "echo up; read line"


@pytest.fixture
def outer():
    """Yield an outer network, and hold that a test leaves no interface and no table in it."""
    with ExitStack() as ends:
        network = networks.make(ends)
        yield network
        assert network.tables() == []
        # The kernel removes interfaces of a network namespace some time after its last process.
        for _ in range(100):
            if network.links() == []:
                break
            network.run("ip", "route", "flush", "cache")
        assert network.links() == []


@pytest.fixture
def launch(nestbox, outer, image):
    """Return a function that runs a shell line in a container in the outer network."""

    def run(network: str, line: str, *flags: str, before: tuple[str, ...] | None = None):
        words = (*flags, "--network", network, "--rootfs", str(image), "--", "sh", "-c", line)
        return nestbox.run(*words, before=before or outer.inside)

    return run


@pytest.fixture
def start(nestbox, outer, image):
    """Return a function that starts a container which waits for the end of its input."""
    started = []

    def begin(network: str, line: str, *flags: str, ready: bytes | None = b"up"):
        words = ("-i", *flags, "--network", network, "--rootfs", str(image), "--", "sh", "-c", line)
        process = subprocess.Popen(
            [*outer.inside, *nestbox.arguments(*words)],
            env=nestbox.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        if ready is not None:
            expect_line(process, ready)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            end(process)


def network_of(label: str) -> str:
    return label.partition(" ")[0]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("label", RUNGS)
def test_the_world_is_reached_and_sees_the_machine(launch, label):
    done = launch(network_of(label), ASK, *RUNGS[label])
    assert done.stdout == f"you are {OUTER}\n", done.stderr
    assert done.exit_code == 0


@pytest.fixture
def of_user(nestbox, image):
    """Return the runtime of an ordinary user, and a root that is open to everybody."""
    with TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o777)
        shutil.copytree(image, directory / "root", symlinks=True)
        yield replace(nestbox, directory=directory / "nestbox"), directory / "root"


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("network", ["pasta", "slirp4netns", "private"])
def test_an_ordinary_user_reaches_the_world(of_user, outer, network):
    nestbox, root = of_user
    words = ("--network", network, "--rootfs", str(root), "--", "sh", "-c", ASK)
    done = nestbox.run(*words, before=outer.as_user())
    assert done.stdout == f"you are {OUTER}\n", done.stderr


def test_a_user_without_a_tun_device_is_told_what_to_change(of_user, outer):
    nestbox, root = of_user
    closed = outer.after("mount -t tmpfs none /dev/net", *another_user())
    words = ("--network", "private", "--rootfs", str(root), "--", "true")
    done = nestbox.run(*words, before=closed)
    assert done.exit_code == 125
    assert "there is no /dev/net/tun" in done.stderr
    assert "CAP_NET_ADMIN" in done.stderr


def test_two_containers_reach_each_other(launch, start):
    serve = "busybox nc -l -p 80 -e echo from the other one"
    server = start("bridge", f"ip addr show eth0 | grep -o 'inet [0-9.]*'; {serve}", ready=None)
    address = server.stdout.readline().split()[1].decode()
    done = launch("bridge", f"for i in 1 2 3 4 5; do busybox nc -w 5 {address} 80 && exit; done")
    assert done.stdout == "from the other one\n", done.stderr
    assert end(server).exit_code == 0


def test_eight_at_once_have_eight_addresses(start):
    line = "ip addr show eth0 | grep -o 'inet [0-9.]*'; read line"
    processes = [start("bridge", line, ready=None) for _ in range(8)]
    addresses = {process.stdout.readline() for process in processes}
    assert len(addresses) == len(processes)
    assert all(address.startswith(b"inet 10.224.") for address in addresses)


def test_a_network_that_is_routed_elsewhere_is_left_alone(launch, outer):
    outer.run("ip", "route", "add", "10.0.0.0/8", "via", WORLD)
    done = launch("bridge", f"ip addr show eth0; {ASK}")
    assert "inet 172.30.224.3/31" in done.stdout
    assert f"you are {OUTER}" in done.stdout


def test_where_every_address_is_routed_elsewhere_the_launch_fails(launch, outer):
    outer.run("ip", "route", "add", "0.0.0.0/1", "via", WORLD)
    outer.run("ip", "route", "add", "128.0.0.0/1", "via", WORLD)
    done = launch("bridge", "true")
    assert done.exit_code == 125
    assert "taken or routed elsewhere" in done.stderr


def test_forwarding_is_turned_on_for_a_link(nestbox, launch, outer):
    outer.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    assert launch("bridge", ASK).stdout == f"you are {OUTER}\n"
    assert outer.run("cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"


def test_forwarding_that_cannot_be_turned_on_is_a_refusal(launch, outer):
    outer.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    readonly = outer.after("mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys")
    done = launch("bridge", ASK, before=readonly)
    assert done.exit_code == 125
    assert "ip_forward is 0" in done.stderr
    outer.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")  # the remedy
    assert launch("bridge", ASK, before=readonly).exit_code == 0


def test_a_chain_that_drops_what_is_forwarded_is_named_and_its_remedy_works(launch, outer):
    outer.run("nft", "add table inet fw")
    outer.run(
        "nft", "add chain inet fw forwarded { type filter hook forward priority 0; policy drop; }"
    )
    done = launch("bridge", ASK)
    assert done.exit_code == 125
    assert "inet fw forwarded" in done.stderr
    remedy = re.search(r"run: (nft '.*?')", done.stderr)
    assert remedy, done.stderr
    outer.run("sh", "-c", remedy[1])
    assert launch("bridge", ASK).stdout == f"you are {OUTER}\n"


@pytest.mark.parametrize("label", RUNGS)
def test_a_published_port_leads_to_the_container(start, outer, label):
    process = start(
        network_of(label),
        "busybox nc -ll -p 80 -e echo hello & echo up; read line; kill $!",
        *("-p", "8080:80", "-p", "127.0.0.1:8081:80", *RUNGS[label]),
    )
    # slirp4netns takes a connection before the container does, and closes it then.
    ask = "for i in $(seq 50); do busybox nc -w 5 $0 $1 | grep . && exit; done"
    assert outer.run("sh", "-c", ask, OUTER, "8080") == "hello\n"
    assert outer.run("sh", "-c", ask, "127.0.0.1", "8081") == "hello\n"
    from_world = subprocess.run(
        ["nsenter", f"--net=/proc/{outer.world}/ns/net", "busybox", "nc", "-w", "5", OUTER, "8080"],
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert from_world.stdout == b"hello\n"
    assert "lost" not in end(process).stderr


def test_a_port_that_is_taken_is_refused_before_anything_is_made(launch, outer):
    outer.serve("0.0.0.0", "8080", pid=outer.outer)
    for network in ("bridge", "slirp4netns"):
        done = launch(network, "true", "-p", "8080:80")
        assert done.exit_code == 125
        assert "address already in use" in done.stderr


def test_a_port_that_is_left_open_is_told(launch):
    done = launch("bridge", "true", "-p", "80")
    assert re.search(r"port 80/tcp of the container is 0\.0\.0\.0:\d+", done.stderr)


@pytest.mark.parametrize("network", ["bridge", "slirp4netns"])
def test_a_container_of_a_long_name_can_publish(nestbox, outer, image, network):
    name = f"{nestbox.prefix}-{'n' * 200}"
    words = ("--name", name, "-p", "80", "--network", network, "--rootfs", str(image), "--", "true")
    done = nestbox.run(*words, before=outer.inside)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("network", ["bridge", "slirp4netns"])
def test_what_listens_on_the_machines_loopback_is_not_reached(launch, outer, network):
    outer.serve("127.0.0.1", "9", pid=outer.outer)
    line = "g=$(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'); busybox nc -w 3 $g 9"
    done = launch(network, line, "-p", "80")
    assert done.exit_code == 1, done.stdout
    assert "you are" not in done.stdout


def test_the_loopback_of_the_machine_is_guarded_where_ports_are_published(start, outer):
    process = start("bridge", WAIT, "-p", "8080:80")
    name = outer.links()[0].split()[1].partition("@")[0]
    assert outer.run("cat", f"/proc/sys/net/ipv4/conf/{name}/route_localnet") == "1\n"
    assert f'iifname "{name}" ip daddr 127.0.0.0/8 drop' in outer.run("nft", "list", "ruleset")
    end(process)


def test_a_container_with_every_right_cannot_send_for_another(launch, outer):
    """Neither by another address nor by IPv6, by which it could become the machine's router."""
    seen = outer.watch("ip saddr 10.224.9.9", "meta nfproto ipv6")
    line = f"ip addr add 10.224.9.9/32 dev eth0; busybox ping -c 1 -W 1 -I 10.224.9.9 {WORLD}"
    done = launch("bridge", line, "--privileged")
    assert "100% packet loss" in done.stdout, done.stderr
    # The kernel itself sends over IPv6 on each link that comes up.
    for came, let_in in seen():
        assert came > 0
        assert let_in == 0


def test_names_are_asked_of_the_outer_servers(launch, outer, tmp_path):
    stub = tmp_path / "resolv.conf"
    stub.write_text("nameserver 198.51.100.1\nsearch example.org\n")
    before = outer.after(f"mount --bind {stub} $(realpath /etc/resolv.conf)")
    read = "cat /etc/resolv.conf"
    assert launch("bridge", read, before=before).stdout == stub.read_text()
    assert "nameserver 10.0.2.3\n" in launch("slirp4netns", read, before=before).stdout
    stub.write_text("nameserver 127.0.0.11\n")
    done = launch("bridge", read, before=before)
    assert done.stdout == ""
    assert "127.0.0.11" in done.stderr


@pytest.mark.parametrize("label", ["bridge", "slirp4netns", "pasta in a user namespace"])
def test_what_a_kill_leaves_is_swept_by_the_next_run(nestbox, launch, start, outer, orphans, label):
    process = start(network_of(label), WAIT, "-p", "8080:80", *RUNGS[label])
    os.kill(process.pid, signal.SIGKILL)  # nsenter has become nestbox
    process.communicate(timeout=SECONDS)
    orphans()
    told = nestbox.call([*outer.inside, *nestbox.command, "doctor", "--leaks"])
    assert "left behind" in told.stdout
    assert ("table: nestbox_" in told.stdout) is (label == "bridge")
    assert launch("none", "true").exit_code == 0
    assert outer.tables() == []
    told = nestbox.call([*outer.inside, *nestbox.command, "doctor", "--leaks"])
    assert nestbox.prefix not in told.stdout
    assert "table: " not in told.stdout


HELPERS = {
    "exit 3": "ended at once",
    "echo it is broken >&2; exit 1": "it is broken",
    "exec sleep 60": "not ready within 5 seconds",
}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("script", HELPERS)
def test_a_program_that_fails_or_hangs_is_an_error_in_time(launch, outer, tmp_path, script):
    broken = tmp_path / "slirp4netns"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    done = launch("slirp4netns", "true", before=outer.after(f"mount --bind {broken} {SLIRP}"))
    assert done.exit_code == 125
    assert HELPERS[script] in done.stderr


def test_a_program_that_dies_meanwhile_is_told_at_the_end(start):
    process = start("slirp4netns", WAIT)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (helper,) = [pid for pid in children if _name_of(pid) == "slirp4netns"]
    ended = os.pidfd_open(int(helper))
    signal.pidfd_send_signal(ended, signal.SIGKILL)
    assert select.select([ended], [], [], SECONDS)[0]
    os.close(ended)
    assert "network was lost" in end(process).stderr


def test_the_sandbox_of_a_program_has_no_way_out(start):
    """One that a container's packets have taken over finds no directory of the machine's."""
    process = start("slirp4netns", WAIT, "-p", "8080:80")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (helper,) = [pid for pid in children if _name_of(pid) == "slirp4netns"]
    held = [path.stat().st_mode for path in Path(f"/proc/{helper}/fd").iterdir()]
    assert held
    assert not any(stat.S_ISDIR(mode) for mode in held)
    assert set(os.listdir(f"/proc/{helper}/cwd")) <= {"etc", "run"}
    end(process)


def _name_of(pid: str) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_the_record_tells_the_address_and_the_ports(nestbox, outer, image):
    words = ("--network", "bridge", "-p", "8080:80", "--rootfs", str(image), "--", "true")
    done, record = nestbox.recorded(*words, before=outer.inside)
    assert done.exit_code == 0, done.stderr
    network = record["network"]
    assert network["rung"] == "veth"
    assert socket.inet_aton(network["address"])
    assert [(port["outer"], port["inner"]) for port in network["ports"]] == [(8080, 80)]


def test_inside_a_container_the_remedy_of_a_refusal_works(nestbox, outer, image):
    given = (
        "--cap-add",
        "SYS_ADMIN",
        "--device",
        "/dev/net/tun",
        "--network",
        "bridge",
        "-e",
        "PATH",
    )
    inner = (*nestbox.command, "run", "--log-level", "error", "--network", "private")
    state = ("-e", "NESTBOX_ROOT=/tmp/state", "-e", "NESTBOX_STORAGE=/tmp/storage")
    ask = ("--rootfs", str(image), "--", "sh", "-c", ASK)
    refused = nestbox.run(*given, *state, "--", *inner, *ask, before=outer.inside)
    assert refused.exit_code == 125
    assert "CAP_NET_ADMIN is not in the outer effective set" in refused.stderr
    assert "--userns auto" in refused.stderr
    done = nestbox.run(*given, *state, "--", *inner, "--userns", "auto", *ask, before=outer.inside)
    assert done.stdout == f"you are {OUTER}\n", done.stderr
