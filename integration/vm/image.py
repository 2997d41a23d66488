"""A disk for guests: this machine's programs that the tests need, and this work tree.

Over a shared directory an emulated processor takes a minute to start Python; from a disk, seconds.
What is copied are the files of Debian packages: those that the tests need (as
`bootstrap/system-packages.sh` knows them), the essential ones, and all that these depend on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
SIZE = "8G"  # sparse: what tests write comes on top
SECONDS = 600
# What belongs to no package, because it is made when one is installed or configured.
_ETC = "alternatives group hosts ld.so.cache ld.so.conf login.defs nsswitch.conf passwd".split()
_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_MOUNT_POINTS = "dev home mnt opt out proc root run sys tmp var/tmp var/lib var/log".split()
# Guests boot with it, or set themselves up with it.
_GUEST = ("iproute2", "kmod", "procps", "util-linux", "mount", "bash", "coreutils", "udev")
_LEFT_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/info/")
_NOT_COPIED = (".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "build")


def make_image(place: Path) -> Path:
    """Return a new disk image below ``place``. Raises CalledProcessError."""
    root = place / "root"
    root.mkdir(parents=True)
    for name in _MERGED:
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
            (root / name).resolve().mkdir(parents=True, exist_ok=True)
    for name in _MOUNT_POINTS:
        (root / name).mkdir(parents=True, exist_ok=True)
    _copy_files(root)
    _copy_tree(root)
    image = place / "image"
    command = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(root), str(image)]
    _call([*command, SIZE])
    _call(["rm", "-rf", "--one-file-system", str(root)])
    return image


def _copy_files(root: Path) -> None:
    files = [path for path in _files_of(_closure(_wanted())) if not path.startswith(_LEFT_OUT)]
    files += [f"/etc/{name}" for name in (*_ETC, "ld.so.conf.d", "subuid", "subgid")]
    # Names that alternatives(7) made, and what Python compiled.
    files += [path for path in _links("/usr/bin", "/usr/sbin") if path not in files]
    _tar([path for path in files if os.path.lexists(path)], root, "--no-recursion")
    _tar(["/etc/alternatives", "/usr/lib/python3"], root)
    _tar([f"/usr/lib/python{sys.version_info.major}.{sys.version_info.minor}"], root)
    if sys.base_prefix != "/usr":
        _tar([sys.base_prefix], root)


def _wanted() -> set[str]:
    script = str(TREE / "bootstrap/system-packages.sh")
    listed = _call(["sh", script, "--list", "build", "run", "test"]).split()
    return {*listed, *_GUEST}


def _closure(wanted: set[str]) -> set[str]:
    """Return installed packages: those named, the essential ones, and what these depend on."""
    shown = _call(["dpkg-query", "-W", "-f", _FIELDS])
    depends: dict[str, str] = {}
    providers: dict[str, str] = {}
    for line in shown.splitlines():
        name, status, essential, provides, needed = line.split("\t")
        if status != "installed":
            continue
        depends[name] = needed
        for virtual in provides.split(","):
            providers.setdefault(_bare(virtual), name)
        if essential == "yes":
            wanted = wanted | {name}
    found: set[str] = set()
    left = list(wanted)
    while left:
        name = left.pop()
        name = name if name in depends else providers.get(name, "")
        if name and name not in found:
            found.add(name)
            alternatives = depends[name].replace("|", ",").split(",")
            left += [_bare(one) for one in alternatives if _bare(one)]
    return found


_FIELDS = "${Package}\t${db:Status-Status}\t${Essential}\t${Provides}\t${Pre-Depends},${Depends}\n"


def _bare(relation: str) -> str:
    """Return the name in a relation such as ``libc6:any (>= 2.36)``."""
    return relation.strip().partition(" ")[0].partition(":")[0]


def _files_of(packages: set[str]) -> list[str]:
    listed = _call(["dpkg-query", "-L", *sorted(packages)]).splitlines()
    paths = (path for path in listed if path.strip("/.") and path.startswith("/"))
    # A package may name a file by the link that its directory has become.
    return list(dict.fromkeys(_merged(path) for path in paths if os.path.lexists(path)))


def _merged(path: str) -> str:
    first, _, rest = path.lstrip("/").partition("/")
    return f"/usr/{first}/{rest}" if rest and os.path.islink(f"/{first}") else path


def _links(*directories: str) -> list[str]:
    return [
        f"{directory}/{name}"
        for directory in directories
        for name in os.listdir(directory)
        if os.path.islink(f"{directory}/{name}")
    ]


def _tar(paths: list[str], root: Path, *flags: str) -> None:
    """Copy files of this machine to the same place below ``root``."""
    # What is said of recursion counts for the names after it.
    reading = ["tar", "-C", "/", "-c", "--one-file-system", *flags, "--null", "-T", "-"]
    names = "\0".join(path.lstrip("/") for path in paths)
    _pipe(reading, ["tar", "-C", str(root), "-x", "-p"], names.encode())


def _copy_tree(root: Path) -> None:
    """Copy this work tree, and the virtual environment that runs it, to the place it has here."""
    left_out = [f"--exclude=./{name}" for name in _NOT_COPIED]
    target = root / str(TREE).lstrip("/")
    target.mkdir(parents=True)
    reading = ["tar", "-C", str(TREE), "-c", *left_out, "."]
    _pipe(reading, ["tar", "-C", str(target), "-x", "-p"], b"")


def _pipe(reading: list[str], writing: list[str], given: bytes) -> None:
    """Connect two commands, the first of which is given something to read."""
    with (
        subprocess.Popen(reading, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first,
        subprocess.Popen(writing, stdin=first.stdout) as second,
    ):
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdout.close()
        first.stdin.write(given)
        first.stdin.close()
        for process in (first, second):
            if process.wait(SECONDS) != 0:
                raise subprocess.CalledProcessError(process.returncode, process.args)


def _call(command: list[str]) -> str:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=SECONDS,
    ).stdout
