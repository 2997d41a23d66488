"""An outer network of a test's own: with a way out to a world that knows nothing of containers.

    container -- nestbox -- [outer: 203.0.113.2] -- [world: 203.0.113.1]

The world has no route back to a container's address, so an answer shows that it was translated.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.root.driver import SECONDS
from tests.users import another_user

WORLD = "203.0.113.1"
OUTER = "203.0.113.2"
PORT = "7"
SLIRP = Path("/usr/bin/slirp4netns")

# Tells each caller which address it comes from.
ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    caller, address = server.accept()
    with caller:
        caller.sendall(f"you are {address[0]}\\n".encode())
"""
# A node of /dev/net/tun that everybody may open, as udev makes it, for this command alone.
TUN = (
    "mount -t tmpfs -o dev none /mnt && mknod /mnt/tun c 10 200 && chmod 0666 /mnt/tun"
    " && mount --bind /mnt/tun /dev/net/tun && umount --lazy /mnt"
)


@dataclass(frozen=True)
class OuterNetwork:
    """Two network namespaces, each held by a process."""

    outer: int  # pid of its holder
    world: int
    ends: ExitStack

    @property
    def inside(self) -> list[str]:
        """Return the words before a command that is to run in the outer network."""
        return ["nsenter", f"--net=/proc/{self.outer}/ns/net"]

    def as_user(self, uid: int = 65534) -> list[str]:
        """Return the words before a command of an ordinary user who may open /dev/net/tun."""
        return self.after(TUN, *another_user(uid))

    def after(self, script: str, *before: str) -> list[str]:
        """Return the words before a command whose mounts a shell has changed first."""
        rest = shlex.join(before)
        return [
            *self.inside,
            "unshare",
            "--mount",
            "sh",
            "-c",
            f'{script} && exec {rest} "$@"',
            "sh",
        ]

    def run(self, *words: str) -> str:
        """Run a command in the outer network and return what it prints."""
        return _run(self.outer, *words)

    def tables(self) -> list[str]:
        """Return the tables of containers that nftables has."""
        return [
            line for line in self.run("nft", "list", "tables").splitlines() if "nestbox" in line
        ]

    def links(self) -> list[str]:
        """Return the interfaces of containers."""
        return [x for x in self.run("ip", "-o", "link").splitlines() if "nestbox" in x]

    def watch(self, *matches: str) -> Callable[[], list[tuple[int, int]]]:
        """Count packets of containers that match; return a function that tells how many there were.

        Of each match it tells how many came and how many were let in.
        """
        self.run("nft", "add table inet watch")
        for chain, priority in (("before", -400), ("after", -100)):
            hook = f"{{ type filter hook prerouting priority {priority}; }}"
            self.run("nft", f"add chain inet watch {chain} {hook}")
            for match in matches:
                rule = f'iifname "nestbox*" {match} counter'
                self.run("nft", f"add rule inet watch {chain} {rule}")

        def tell() -> list[tuple[int, int]]:
            listed = self.run("nft", "list table inet watch")
            numbers = [int(number) for number in re.findall(r"packets (\d+)", listed)]
            return list(zip(numbers[: len(matches)], numbers[len(matches) :], strict=True))

        return tell

    def serve(self, address: str, port: str, *, pid: int) -> None:
        """Answer callers in the network of a holder until the test ends."""
        process = subprocess.Popen(
            ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", ECHO, address, port],
            stdout=subprocess.PIPE,
        )
        self.ends.callback(_end, process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"


def make(ends: ExitStack) -> OuterNetwork:
    """Make an outer network and its world; they go with the processes that ``ends`` ends."""
    outer, world = (_hold(ends) for _ in range(2))
    network = OuterNetwork(outer=outer, world=world, ends=ends)
    _run(outer, "ip", "link", "add", "uplink", "type", "veth", "peer", "eth0", "netns", str(world))
    for pid, name, address in ((outer, "uplink", OUTER), (world, "eth0", WORLD)):
        _run(pid, "ip", "address", "add", f"{address}/24", "dev", name)
        _run(pid, "ip", "link", "set", name, "up")
        _run(pid, "ip", "link", "set", "lo", "up")
    _run(outer, "ip", "route", "add", "default", "via", WORLD)
    _run(outer, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    network.serve(WORLD, PORT, pid=world)
    return network


def _hold(ends: ExitStack) -> int:
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    ends.callback(_end, process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process.pid


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate(timeout=SECONDS)


def _run(pid: int, *words: str) -> str:
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", *words],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
        text=True,
        timeout=SECONDS,
    )
    return done.stdout
