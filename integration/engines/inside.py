"""nestbox as it runs in the containers of others, and others in those of nestbox."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from integration.engines import images
from integration.engines.enclosure import Done, Enclosure

TREE = Path(__file__).parents[2]
NESTBOX = str(Path(sys.executable).with_name("nestbox"))
RUNTIME = str(Path(sys.executable).with_name("nestbox-runtime"))
IMAGE = "localhost/empty:1"
DIRECTORIES = "usr etc tmp root proc dev sys run rootfs var/lib"
_FLAG = re.compile(r"--(?:cap-add|security-opt|tmpfs)[= ]\S+")


def empty_archive(place: Path) -> Path:
    """Return a tar of a root that a mounted /usr makes complete: what was built is what runs."""
    root = place / "empty"
    if not root.exists():
        for name in DIRECTORIES.split():
            (root / name).mkdir(parents=True)
        (root / "tmp").chmod(0o1777)
        for link in ("bin", "sbin", "lib", "lib64"):
            (root / link).symlink_to(f"usr/{link}")
        (root / TREE.relative_to("/")).mkdir(parents=True)
    return images.pack(root, place / "empty.tar")


def volumes(root: Path) -> tuple[str, ...]:
    """Return the flags that give a container /usr, this tree, and a root at /rootfs."""
    return ("-v=/usr:/usr:ro", f"-v={TREE}:{TREE}:ro", f"-v={root}:/rootfs")


def flags_of(remedy: str) -> tuple[str, ...]:
    """Return the flags of docker and podman that a remedy names, as they are to be given."""
    return tuple(flag.replace(" ", "=").rstrip(".,:;)") for flag in _FLAG.findall(remedy))


def remedy_of(done: Done) -> str:
    """Return the remedy of an error that nestbox printed, on one line."""
    assert "  try:     " in done.out + done.err, done
    return " ".join((done.out + done.err).partition("  try:     ")[2].split())


def make_writable(root: Path) -> None:
    """Let any user make the targets of mounts in a root."""
    for directory in (root, root / "etc"):
        directory.chmod(0o777)


def starts_after(
    start: Callable[..., Done], flags: tuple[str, ...], refusals: int, shows: str = "0\n"
) -> None:
    """Make the changes that each refusal names, and see that with all of them it starts.

    ``start`` runs the same job in a container with the flags that it is given. Each change is
    needed: without any one of them the refusal stays.
    """
    for _ in range(refusals):
        done = start(*flags)
        assert done.status == 125, done
        changes = flags_of(remedy_of(done))
        assert changes, done
        for one in changes if len(changes) > 1 else ():
            fewer = [change for change in changes if change != one]
            assert start(*flags, *fewer).status == 125, one
        flags = (*flags, *changes)
    done = start(*flags)
    assert (done.status, done.out) == (0, shows), done


def nested(*flags: str) -> tuple[str, ...]:
    """Return the words before a command that runs it privileged in nestbox, as an engine needs it.

    What engines keep in /run is the container's own, and it has a network of its own.
    """
    return (NESTBOX, "run", "--privileged", "--network=none", "--tmpfs=/run", *flags, "--")


def run_nested(
    enclosure: Enclosure, script: str, *flags: str, check: bool = True, seconds: float = 60
) -> Done:
    """Return what a script answered in such a container."""
    return enclosure.run(
        *nested(*flags), "sh", "-ec", script, check=check, seconds=seconds, LANG="C"
    )


def quoted(*words: str | Path) -> str:
    """Return words as one command of a script."""
    return shlex.join(map(str, words))
