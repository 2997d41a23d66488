"""Where engines run for a test: mounts, a network and a /run of their own, so that nothing stays.

The engines keep their usual places (/run/docker, /run/containerd, ...), which no other engine of
this machine can see, and what they mount ends with the last process in here.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Far more than any command takes: what hangs fails. An emulated machine needs more.
SECONDS = int(os.environ.get("NESTBOX_TEST_SECONDS", "60"))
# Debian's engines, whatever else is installed beside them.
PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
CGROUPS = Path("/sys/fs/cgroup")
# What engines create at the top of each hierarchy, and leave there.
ENGINE_CGROUPS = ("docker", "default", "k8s.io", "libpod_parent/conmon", "libpod_parent")

_SET_UP = """
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
# podman keeps its locks there, which another podman of this machine may hold.
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
# crun gives the null device to the user of a container whose stream it is: not the machine's own.
mknod -m 666 /run/null c 1 3
mount --bind /run/null /dev/null
# Where controllers are mounted on a writable tmpfs, podman takes it for controllers too.
if grep -q '^[^ ]* /sys/fs/cgroup tmpfs rw' /proc/mounts; then
    mkdir /run/cgroup
    mount -t tmpfs tmpfs /run/cgroup
    for hierarchy in $(awk '$2 ~ "^/sys/fs/cgroup/" { print $2 }' /proc/mounts); do
        mkdir "/run/cgroup/${hierarchy##*/}"
        mount --bind "$hierarchy" "/run/cgroup/${hierarchy##*/}"
    done
    mount -o remount,bind,ro /run/cgroup
    mount --rbind /run/cgroup /sys/fs/cgroup
    mount --make-rprivate /run/cgroup
    umount --recursive /run/cgroup
fi
ip link set lo up
echo ready
exec cat
"""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def words(self) -> list[str]:
        """Return the words of standard output."""
        return self.out.split()


class Enclosure:
    """Namespaces that are held open by a process, and a directory for what engines store."""

    def __init__(self, *, network: bool = True) -> None:
        """Make one; without ``network`` it keeps this machine's, which reaches mirrors."""
        own = ["--net"] if network else []
        self.place = Path(tempfile.mkdtemp(prefix="nestbox-engines-"))
        self.place.chmod(0o755)
        self._connections: list[subprocess.Popen[bytes]] = []
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", *own, "sh", "-ec", _SET_UP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def environment(self, **extra: str) -> dict[str, str]:
        """Return the environment of engines and their clients."""
        kept = {key: os.environ[key] for key in ("TMPDIR", "LANG") if key in os.environ}
        return {**kept, "PATH": PATH, "HOME": str(self.place), "TERM": "xterm", **extra}

    def enter(self, *words: str) -> list[str]:
        """Return the command that runs another one in here; nothing stands between the two."""
        return ["nsenter", f"--target={self._holder.pid}", "--mount", "--net", "--", *words]

    def run(
        self,
        *words: str | Path,
        check: bool = True,
        stdin: str | bytes = "",
        seconds: float = SECONDS,
        **extra: str,
    ) -> Done:
        """Return what a command answered; keywords are more variables of its environment."""
        # Files in place of pipes: what an engine leaves running may keep its standard streams.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run(
                self.enter(*map(str, words)),
                input=stdin if isinstance(stdin, bytes) else stdin.encode(),
                stdout=out,
                stderr=err,
                timeout=seconds,
                env=self.environment(**extra),
                check=False,
            )
            out.seek(0)
            err.seek(0)
            answer = Done(done.returncode, out.read().decode(), err.read().decode())
        assert not check or not answer.status, f"{words}: {answer}"
        return answer

    def connect(self, port: int) -> socket.socket:
        """Return a connection to a port in here."""
        ours, theirs = socket.socketpair()
        words = self.enter("busybox", "nc", "127.0.0.1", str(port))
        with theirs:
            child = subprocess.Popen(
                words, stdin=theirs.fileno(), stdout=theirs.fileno(), env=self.environment()
            )
        self._connections.append(child)
        return ours

    def close(self) -> None:
        """End the holder and remove what was stored."""
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        for child in self._connections:
            child.kill()
            child.wait()
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait()
        shutil.rmtree(self.place)
        _remove_cgroups()


def _remove_cgroups() -> None:
    """Remove what is empty of the engines' control groups, so nothing of another engine."""
    for hierarchy in CGROUPS.iterdir():
        for name in ENGINE_CGROUPS:
            try:
                (hierarchy / name).rmdir()
            except OSError:
                continue
