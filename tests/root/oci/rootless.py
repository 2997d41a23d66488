"""A runtime that an ordinary user calls: without a right, with ids of its own where a test says so.

The user is one that the machine does not know: the files that name it are bound over those of the
machine, in a mount namespace of each call.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nestbox.outer.facts import CgroupMode, Subject
from nestbox.outer.probe import observe
from tests.root.oci.bundle import Bundle
from tests.root.oci.driver import Oci
from tests.users import another_user

UID = 21077
NAME = "rootless"
FIRST, COUNT = 3_000_000, 65_536  # of the ids that a test may give to the user
_ACCOUNTS = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\n{NAME}:x:{UID}:{UID}::/:/bin/sh\n",
    "group": f"root:x:0:\n{NAME}:x:{UID}:\n",
}
_TOOLS = ("newuidmap", "newgidmap")


@dataclass
class Rootless(Oci):
    """One runtime as the user calls it; ``by_root`` calls it as root on the same state."""

    uid: int = UID
    ranges: tuple[int, int] | None = None  # first id and count; None: newuidmap is not there
    cgroup: str | None = None  # how a call enters one
    inside: tuple[str, ...] = ()  # what the user runs the runtime with

    @property
    def home(self) -> Path:
        """Return the directory that is the user's."""
        return self.directory.parent

    def words(self, *arguments: str) -> list[str]:
        """Return a whole command line, with what makes it the user's."""
        ours = super().words(*arguments)
        return [*self._prefix(), *another_user(self.uid), *self._variables(), *self.inside, *ours]

    def default(self, *arguments: str, **variables: str) -> list[str]:
        """Return a command line without ``--root``, with these variables alone."""
        settings = [f"{name}={value}" for name, value in variables.items()]
        return [
            *self._prefix(),
            *another_user(self.uid),
            *("env", "-i", f"PATH={os.environ['PATH']}", *settings),
            *(self.command, *arguments),
        ]

    def kept(self) -> list[str]:
        """Return what is in the state directory; nothing where none was needed."""
        return os.listdir(self.root) if self.root.exists() else []

    def by_root(self) -> Oci:
        """Return the runtime as root calls it, on the state of the user."""
        place = self.home / "root"
        place.mkdir(exist_ok=True)
        os.chown(place, self.uid, self.uid)  # the log is the user's to write then
        return OnUsersRoot(self.command, place, "none", users=self.root)

    def _variables(self) -> list[str]:
        return ["env", f"XDG_RUNTIME_DIR={self.home / 'runtime'}", f"HOME={self.home}"]

    def _prefix(self) -> list[str]:
        accounts = self.home / "accounts"
        lines = [f"mount --bind {accounts / name} /etc/{name}" for name in _ACCOUNTS]
        for name in ("subuid", "subgid"):
            lines.append(f"[ ! -e /etc/{name} ] || mount --bind {accounts / name} /etc/{name}")
        if self.ranges is None:
            tools = filter(None, map(shutil.which, _TOOLS))
            lines += [f"mount --bind {accounts / 'none'} {shlex.quote(tool)}" for tool in tools]
        if self.cgroup is not None:
            lines.append(self.cgroup)
        script = "\n".join((*lines, 'exec "$@"'))
        return ["unshare", "--mount", "--propagation=private", "sh", "-ec", script, "sh"]


@dataclass
class OnUsersRoot(Oci):
    """The runtime as root calls it, with the state directory of somebody else."""

    users: Path = Path()

    @property
    def root(self) -> Path:
        """Return where the state of the user is."""
        return self.users


@contextlib.contextmanager
def rootless(command: str, *, ranges: bool = False, uid: int = UID) -> Iterator[Rootless]:
    """Give a runtime of a user, in a directory of the user's; nothing of it is left after."""
    home = Path(tempfile.mkdtemp(prefix="nestbox-rl-", dir="/var/tmp"))
    home.chmod(0o755)
    accounts = home / "accounts"
    accounts.mkdir()
    own = f"{NAME}:{FIRST}:{COUNT}\n" if ranges else ""
    for name, text in {**_ACCOUNTS, "subuid": own, "subgid": own, "none": ""}.items():
        (accounts / name).write_text(text)
    for name in ("oci", "runtime"):
        (home / name).mkdir(mode=0o700)
        os.chown(home / name, uid, uid)
    runtime = Rootless(
        command=command,
        directory=home / "oci",
        prefix=f"r{os.urandom(4).hex()}",
        uid=uid,
        ranges=(FIRST, COUNT) if ranges else None,
    )
    try:
        yield runtime
    finally:
        runtime.clean()
        shutil.rmtree(home)


def users_bundle(runtime: Rootless, image: Path) -> Bundle:
    """Return a bundle of the user's, with the configuration that `spec --rootless` writes."""
    directory = runtime.home / "bundle"
    shutil.copytree(image, directory / "rootfs", symlinks=True)
    subprocess.run(["chown", "-hR", f"{runtime.uid}:{runtime.uid}", directory], check=True)
    written = runtime.call("spec", "--rootless", "--bundle", str(directory))
    assert written.exit_code == 0, written.stderr
    bundle = Bundle(directory, json.loads((directory / "config.json").read_text()))
    bundle.process["terminal"] = False
    return bundle.args("sleep", "1000")


@contextlib.contextmanager
def delegated(runtime: Rootless) -> Iterator[str]:
    """Give cgroups that belong to the user, as the path of one for a container below them."""
    found = observe(frozenset({Subject.CGROUP}), state_directory="/tmp").cgroup
    assert found is not None
    name = f"nestbox-test-{os.urandom(4).hex()}"
    tops = [Path(one.mountpoint, name) for one in found.hierarchies]
    try:
        for top in tops:
            _delegate(top, runtime.uid)
        if found.mode is CgroupMode.V2:
            # Who moves processes needs a right over what is above both cgroups; see cgroups(7).
            own = tops[0] / "callers"
            own.mkdir()
            runtime.cgroup = f"echo $$ >{own}/cgroup.procs"
        yield f"/{name}/box"
    finally:
        runtime.cgroup = None
        for top in tops:
            for directory in sorted(top.rglob("*/"), reverse=True):
                directory.rmdir()
            top.rmdir()


def _delegate(top: Path, uid: int) -> None:
    """Make a cgroup and give it to a user: what has to be writable, and its share of processors."""
    if (top.parent / "cgroup.subtree_control").exists():
        controllers = (top.parent / "cgroup.controllers").read_text().split()
        for controller in controllers:
            with contextlib.suppress(OSError):  # one that has processes of its own there
                (top.parent / "cgroup.subtree_control").write_text(f"+{controller}")
    top.mkdir()
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (top / file).exists() and not (top / file).read_text().strip():
            with contextlib.suppress(OSError):
                (top / file).write_text((top.parent / file).read_text())
    for file in (".", "cgroup.procs", "tasks", "cgroup.subtree_control"):
        if (top / file).exists():
            os.chown(top / file, uid, uid)
