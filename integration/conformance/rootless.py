"""runc's suite as an ordinary user, in the modes that its tests/rootless.sh has.

The user exists in a mount namespace of each program alone: files that name it are bound over those
of the machine, and newuidmap is covered where the mode has no ids to map.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

MODES: Final = ("none", "idmap", "cgroup", "idmap+cgroup")
_UID: Final = 20077
_UIDS, _GIDS, _COUNT = 100000, 200000, 65536
_INSIDE: Final = (1000, 1024)  # of the suite: where its range begins, and its other user
_CGROUPS: Final = Path("/sys/fs/cgroup")
_DELEGATED: Final = "runc-cgroups-integration-test"  # the name is the suite's
_HELPERS: Final = ("newuidmap", "newgidmap")
_SCRIPT: Final = """
for name in passwd group subuid subgid; do
    if [ -e /etc/$name ]; then mount --bind "$0/$name" /etc/$name; fi
done
for tool in $COVERED; do mount --bind "$0/covered" "$tool"; done
mount -t tmpfs -o mode=1777 tmpfs /tmp
if tty -s; then chown {uid} "$(tty)"; fi
exec setpriv --reuid={uid} --regid={uid} --clear-groups "$@"
"""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """How a program is run as the user: the words before it, and more variables."""

    words: tuple[str, ...]
    variables: dict[str, str]


@contextlib.contextmanager
def user(mode: str, scratch: Path) -> Iterator[User]:
    """Give the user of a mode, to whom the directory `scratch` then belongs.

    Raises:
        OSError: the cgroups of the mode cannot be made.
    """
    features = () if mode == "none" else tuple(mode.split("+"))
    accounts = scratch / "accounts"
    accounts.mkdir()
    ranged = "idmap" in features
    _write_accounts(accounts, scratch, ranged=ranged)
    for name in ("home", "run", "tmp"):
        # Container users of other ids have to reach what is in the last.
        (scratch / name).mkdir(mode=0o700 if name == "run" else 0o755)
        os.chown(scratch / name, _UID, _UID)
    variables = {
        "HOME": str(scratch / "home"),
        "XDG_RUNTIME_DIR": str(scratch / "run"),
        "TMPDIR": str(scratch / "tmp"),
        "USER": "rootless",
        "ROOTLESS_FEATURES": "+".join(features),
        "COVERED": "" if ranged else " ".join(filter(None, map(shutil.which, _HELPERS))),
        **(_ranges(scratch) if ranged else {}),
    }
    enter = ("unshare", "--mount", "--propagation=private", "sh", "-ec")
    words = (*enter, _SCRIPT.format(uid=_UID), str(accounts))
    with _cgroups() if "cgroup" in features else contextlib.nullcontext():
        yield User(words=words, variables=variables)


def _write_accounts(accounts: Path, scratch: Path, *, ranged: bool) -> None:
    entry = f"rootless:x:{_UID}:{_UID}::{scratch / 'home'}:/bin/bash\n"
    texts = {
        "passwd": Path("/etc/passwd").read_text() + entry,
        "group": Path("/etc/group").read_text() + f"rootless:x:{_UID}:\n",
        "subuid": f"rootless:{_UIDS}:{_COUNT}\n" if ranged else "",
        "subgid": f"rootless:{_GIDS}:{_COUNT}\n" if ranged else "",
        "covered": "",
    }
    for name, text in texts.items():
        (accounts / name).write_text(text)


def _ranges(scratch: Path) -> dict[str, str]:
    """Return what the suite is told of the ids, with a directory of its other user."""
    begin, other = _INSIDE
    directory = scratch / "other"
    directory.mkdir(mode=0o700)
    os.chown(directory, _UIDS - begin + other, -1)
    return {
        "ROOTLESS_UIDMAP_START": str(_UIDS),
        "ROOTLESS_UIDMAP_LENGTH": str(_COUNT),
        "ROOTLESS_GIDMAP_START": str(_GIDS),
        "ROOTLESS_GIDMAP_LENGTH": str(_COUNT),
        "ROOTLESS_AUX_UID": str(other),
        "ROOTLESS_AUX_DIR": str(directory),
    }


@contextlib.contextmanager
def _cgroups() -> Iterator[None]:
    """Give the user a cgroup in each hierarchy, with the rights that the suite's script gives."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    tops = [_CGROUPS] if unified else [_CGROUPS / name for name in _hierarchies()]
    made = [top / _DELEGATED for top in tops]
    try:
        for directory in made:
            directory.mkdir(exist_ok=True)
            _give(directory)
        yield
    finally:
        for directory in made:
            for inner in sorted(directory.rglob("*/"), reverse=True):
                inner.rmdir()
            directory.rmdir()


def _hierarchies() -> list[str]:
    """Return the version 1 hierarchies that we are in, by the names that they are mounted at."""
    rows = (line.split(":")[1] for line in Path("/proc/self/cgroup").read_text().splitlines())
    names = {name.removeprefix("name=") for row in rows for name in row.split(",") if name}
    return sorted(name for name in names if (_CGROUPS / name).is_dir())


def _give(directory: Path) -> None:
    files = [directory / name for name in (".", "cgroup.procs", "tasks", "cgroup.subtree_control")]
    files += [directory / f"cpuset.{name}" for name in ("cpus", "mems")]
    files += [directory / f"cpu.rt_{name}_us" for name in ("period", "runtime")]
    if (directory / "cgroup.subtree_control").exists():
        files.append(directory.parent / "cgroup.procs")
        for controller in (directory.parent / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):  # one that processes up there keep for themselves
                (directory.parent / "cgroup.subtree_control").write_text(f"+{controller}")
    for file in files:
        if file.exists():
            shutil.chown(file, group=_UID)
            file.chmod(file.stat().st_mode | (0o070 if file.is_dir() else 0o060))
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (directory / name).exists() and not (directory / "cgroup.subtree_control").exists():
            shutil.chown(directory / name, user=_UID)
