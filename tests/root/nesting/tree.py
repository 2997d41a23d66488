"""The file tree of an environment: a root, /dev, /proc, /sys and what is writable."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

from nestbox.kernel import constants as k
from nestbox.kernel.syscalls import mount, pivot_root, umount2
from tests.root.nesting import cgroups
from tests.root.nesting.description import (
    SOMEBODY,
    Dev,
    Environment,
    Ids,
    Proc,
    Root,
    Sys,
)
from tests.users import TREE

IMAGE = "/tmp/image"  # a small root directory inside every environment
STATE = "/run/nestbox"
STORAGE = "/tmp/storage"
_CLOSED = k.MS_NOSUID | k.MS_NODEV | k.MS_NOEXEC
_MNT_DETACH = 2
_JAILS = (Root.JAIL, Root.BARE_JAIL)
_APPLETS = ("sh", "cat", "echo", "id", "ls", "mount", "sleep", "test", "true")
# As moby masks them. Source: the OCI defaults of moby, oci/defaults.go.
_MASKED = (
    "acpi asound interrupts kcore keys latency_stats timer_list timer_stats sched_debug scsi"
).split()
_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_NODES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
_MORE_NODES = {"fuse": (10, 229), "net/tun": (10, 200)}


def make(described: Environment, scratch: Path, place: cgroups.Place) -> None:
    """Make the tree and go into it."""
    mount(None, "/", None, k.MS_REC | k.MS_PRIVATE)
    root = _make_root(described, scratch)
    for name in _needed_mounts():
        mount(name, f"{root}{name}", None, k.MS_BIND | k.MS_REC)
    _open_way(root)
    _make_writable(described, root)
    _make_image(root / IMAGE[1:], owner=_owner(described))
    _hide(described, root)
    if described.root is not Root.BARE_JAIL:
        _make_dev(described, root)
        _make_proc(described, root)
        _make_sys(described, root, place)
    if described.run_read_only:
        mount(None, str(root / "run"), None, k.MS_REMOUNT | k.MS_BIND | k.MS_RDONLY)
    if described.root in _JAILS:
        os.chroot(root)
        os.chdir("/")
        return
    os.chdir(root)
    pivot_root(".", ".")
    umount2(".", _MNT_DETACH)
    os.chdir("/")


def _make_root(described: Environment, scratch: Path) -> Path:
    """Return a directory over which the machine's root is mounted, without what is below it."""
    root = scratch / "root"
    root.mkdir()
    if described.root is Root.OVERLAY:
        layers = scratch / "layers"
        layers.mkdir()
        mount("tmpfs", str(layers), "tmpfs", 0, "mode=755")
        for name in ("upper", "work"):
            (layers / name).mkdir()
        options = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
        mount("overlay", str(root), "overlay", 0, options)
        return root
    if described.root in _JAILS:
        return _make_jail(root)
    mount("/", str(root), None, k.MS_BIND)
    flag = {Root.READ_ONLY: k.MS_RDONLY, Root.NOSUID: k.MS_NOSUID}.get(described.root)
    if flag:
        mount(None, str(root), None, k.MS_REMOUNT | k.MS_BIND | flag)
    return root


def _make_jail(above: Path) -> Path:
    """Return a directory inside a tmpfs with what programs need, as one makes for chroot(1)."""
    mount("tmpfs", str(above), "tmpfs", 0, "mode=755")
    root = above / "jail"
    root.mkdir()
    for name in ("dev", "proc", "run", "sys", "tmp", "root", "home"):
        (root / name).mkdir()
    for name in ("etc", "usr", "var"):
        (root / name).mkdir()
        mount(f"/{name}", str(root / name), None, k.MS_BIND | k.MS_REC)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / TREE.relative_to("/")).mkdir(parents=True, exist_ok=True)
    mount(str(TREE), f"{root}{TREE}", None, k.MS_BIND | k.MS_REC)
    return root


def _needed_mounts() -> list[str]:
    """Return the mounts below the machine's root on which this interpreter or tree are."""
    found = set()
    for path in (TREE, Path(sys.prefix), Path(sys.base_prefix)):
        at = path.resolve()
        while not at.is_mount():
            at = at.parent
        found.add(str(at))
    return sorted(found - {"/"})


def _open_way(root: Path) -> None:
    """Let everybody reach the tree, also where it was cloned below a closed directory."""
    closed = [one for one in TREE.parents if not one.stat().st_mode & 0o001]
    if not closed:
        return
    kept = os.open(TREE, os.O_PATH)
    mount("tmpfs", f"{root}{closed[-1]}", "tmpfs", 0, "mode=755")
    (root / TREE.relative_to("/")).mkdir(parents=True)
    mount(f"/proc/self/fd/{kept}", f"{root}{TREE}", None, k.MS_BIND | k.MS_REC)
    os.close(kept)


def _make_writable(described: Environment, root: Path) -> None:
    flags = _CLOSED if described.noexec else 0
    for name, mode in (("tmp", "1777"), ("run", "755")):
        mount("tmpfs", str(root / name), "tmpfs", flags, f"mode={mode}")
    home = root / "tmp/home"
    home.mkdir()
    os.chown(home, _owner(described), _owner(described))


def _owner(described: Environment) -> int:
    """Return the uid outside of whoever is the environment's user."""
    return SOMEBODY if described.ids is Ids.ONE_ID else described.uid


def _make_image(image: Path, owner: int) -> None:
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
        (image / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), image / "bin/busybox")
    for applet in _APPLETS:
        (image / "bin" / applet).symlink_to("busybox")
    (image / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (image / "etc/group").write_text("root:x:0:\n")
    for directory, directories, files in os.walk(image):
        for name in (".", *directories, *files):
            os.chown(os.path.join(directory, name), owner, owner, follow_symlinks=False)


def _hide(described: Environment, root: Path) -> None:
    """Cover programs by what cannot be executed, and the lists of subordinate ids by ours."""
    places = root / "tmp/.covers"
    places.mkdir()
    lists = {"nothing": "", "ids": f"{SOMEBODY}:100000:65536\n"}
    for name, text in lists.items():
        (places / name).write_text(text)
    for program in described.hidden:
        for directory in ("usr/bin", "usr/sbin", "usr/local/bin"):
            path = root / directory / program
            if path.exists():
                mount(str(places / "nothing"), str(path), None, k.MS_BIND)
    for name in ("subuid", "subgid"):
        path = root / "etc" / name
        if path.exists():
            text = "ids" if described.subordinate_ids else "nothing"
            mount(str(places / text), str(path), None, k.MS_BIND)


def _make_dev(described: Environment, root: Path) -> None:
    dev = root / "dev"
    mount("tmpfs", str(dev), "tmpfs", k.MS_NOSUID, "mode=755")
    if described.dev is Dev.NONE:
        return
    numbers = {name: (1, minor) for name, minor in _NODES.items()} | {"tty": (5, 0)}
    if described.dev is Dev.USUAL:
        numbers |= _MORE_NODES
    for name, (major, minor) in numbers.items():
        path = dev / name
        path.parent.mkdir(exist_ok=True)
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        path.chmod(0o666)
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
    mount("devpts", str(dev / "pts"), "devpts", k.MS_NOSUID | k.MS_NOEXEC, options)
    mount("tmpfs", str(dev / "shm"), "tmpfs", _CLOSED, "mode=1777")
    mount("mqueue", str(dev / "mqueue"), "mqueue", _CLOSED)
    (dev / "ptmx").symlink_to("pts/ptmx")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (dev / name).symlink_to(f"/proc/self/fd{target}")


def _make_proc(described: Environment, root: Path) -> None:
    proc = root / "proc"
    if described.proc is Proc.NONE:
        # Else the one of the machine's root could be there, when that is a directory of it.
        mount("tmpfs", str(proc), "tmpfs", k.MS_RDONLY, "mode=555")
        return
    if described.proc is Proc.MACHINE:
        mount("/proc", str(proc), None, k.MS_BIND | k.MS_REC)
        return
    options = "hidepid=2" if described.proc is Proc.HIDEPID else None
    mount("proc", str(proc), "proc", _CLOSED, options)
    if described.proc is not Proc.MASKED:
        return
    for name in _MASKED:
        path = proc / name
        if path.is_dir():
            mount("tmpfs", str(path), "tmpfs", k.MS_RDONLY)
        elif path.exists():
            mount("/dev/null", str(path), None, k.MS_BIND)
    for name in _READ_ONLY:
        path = proc / name
        if path.exists():
            mount(str(path), str(path), None, k.MS_BIND | k.MS_REC)
            mount(None, str(path), None, k.MS_REMOUNT | k.MS_BIND | k.MS_RDONLY | _CLOSED)


def _make_sys(described: Environment, root: Path, place: cgroups.Place) -> None:
    path = root / "sys"
    if described.sys is Sys.NONE:
        mount("tmpfs", str(path), "tmpfs", k.MS_RDONLY, "mode=555")
        return
    mount("sysfs", str(path), "sysfs", _CLOSED)
    place.mount(described, root)
    if described.sys is Sys.READ_ONLY:
        mount(None, str(path), None, k.MS_REMOUNT | k.MS_BIND | k.MS_RDONLY | _CLOSED)
