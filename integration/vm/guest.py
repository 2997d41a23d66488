"""A virtual machine of virtme-ng that runs one command as root and ends.

The processor is emulated by qemu, some ten times slower than a real one: in a machine that is
itself virtual, /dev/kvm may be there and not work. The guest has no network.
What it writes to its disk is gone with it; what it writes to the shared directory stays.
"""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from integration.vm.kernels import Kernel, Unavailable

SHARE = "/out"  # of the guest
MEMORY = "3G"
APPEND = "apparmor=1 security=apparmor"
# A guest like a machine that systemd has set up: every process in a cgroup below the root, with
# the controllers handed on; a /tmp on its disk; modules that a kernel's user would have loaded.
SET_UP = """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
umask 022
mkdir -p /var/scratch && chmod 1777 /var/scratch && mount --bind /var/scratch /tmp
mount --make-rshared /
ip link set lo up
modprobe -a overlay veth loop bridge br_netfilter fuse tun nf_tables 2>/dev/null
modprobe dummy numdummies=0 2>/dev/null
mkdir /sys/fs/cgroup/main
for pid in $(cat /sys/fs/cgroup/cgroup.procs); do
    echo "$pid" > /sys/fs/cgroup/main/cgroup.procs
done 2>/dev/null
for name in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$name" > /sys/fs/cgroup/cgroup.subtree_control
done
"""


@dataclass(frozen=True)
class Done:
    """A guest that has ended: the status of its command, None when that did not end in time."""

    status: int | None
    output: str
    console: str
    seconds: float


def virtme_ng() -> str:
    """Return the program of virtme-ng. Raises Unavailable."""
    beside = os.path.join(os.path.dirname(sys.executable), "vng")
    found = beside if os.path.exists(beside) else shutil.which("vng")
    if not found:
        raise Unavailable("virtme-ng is not installed")
    if not shutil.which("qemu-system-x86_64"):
        raise Unavailable("qemu-system-x86_64 is not installed")
    return found


class Guest:
    """A guest while it runs; `close` ends it, and so does our own end."""

    def __init__(
        self, kernel: Kernel, image: Path, share: Path, command: list[str], *, seconds: float
    ) -> None:
        """Boot it. ``share`` is a directory of ours that the guest writes to."""
        self.share = share
        self._began = time.monotonic()
        self._deadline = self._began + seconds
        share.mkdir(parents=True, exist_ok=True)
        script = f"{SET_UP}\n{shlex.join(command)}\necho $? > {SHARE}/status\n"
        (share / "script").write_text(script)
        master, slave = pty.openpty()
        self._process = subprocess.Popen(
            _words(kernel, image, share),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=_environment(share.parent),
        )
        os.close(slave)
        self._console = bytearray()
        self._reader = threading.Thread(target=self._read_console, args=(master,), daemon=True)
        self._reader.start()

    def _read_console(self, master: int) -> None:
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the last writer is gone
                break
            if not part:
                break
            self._console += part
        os.close(master)

    def wait(self, seconds: float) -> bool:
        """Wait for its end, but not longer; return whether it has ended, by itself or by us."""
        left = self._deadline - time.monotonic()
        try:
            self._process.wait(max(0, min(seconds, left)))
        except subprocess.TimeoutExpired:
            if time.monotonic() < self._deadline:
                return False
            self._process.kill()
            self._process.wait()
        return True

    def close(self) -> Done:
        """End it, unless it has ended, and return what became of it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=10)
        status = self.share / "status"
        text = status.read_text().strip() if status.exists() else ""
        log = self.share / "log"
        return Done(
            status=int(text) if text else None,
            output=log.read_text(errors="replace") if log.exists() else "",
            console=bytes(self._console).decode(errors="replace"),
            seconds=time.monotonic() - self._began,
        )


def _environment(temporary: Path) -> dict[str, str]:
    """Return ours, with the other programs of virtme-ng, and room for what the guest writes."""
    programs = f"{os.path.dirname(virtme_ng())}:{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": programs, "TMPDIR": str(temporary)}


def _words(kernel: Kernel, image: Path, share: Path) -> list[str]:
    """Return the command: virtme-ng in a pid namespace, so that nothing outlives its first process.

    The terminal of virtme-ng begins sessions of its own, which no process group holds together.
    """
    enclosed = ["setpriv", "--pdeathsig", "KILL"]
    enclosed += ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [
        *enclosed,
        *(virtme_ng(), "--verbose", "--run", str(kernel.image), "--disable-kvm"),
        *("--cpus", "2", "--memory", MEMORY, "--user", "root"),
        *("--rw", "--root-disk", str(image), "--root-fstype", "ext4", "--force-9p"),
        # The disk is as it was for the next guest.
        "--qemu-opts=-snapshot",
        f"--rwdir={SHARE}={share}",
        *("--append", APPEND),
        *("--", f"bash {SHARE}/script > {SHARE}/log 2>&1"),
    ]
