"""Kernels of Debian's suites, fetched once by apt and kept in a cache outside the repository.

apt is given directories of its own, so the machine's lists and packages stay as they are. The
archive is the one that the machine's own apt uses, and the signatures are checked as always.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGE = "linux-image-amd64"
# What each is for: the oldest that nestbox runs on, Debian 12's own, and a newer one.
SUITES = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "bookworm-backports"}
SECONDS = 600


class Unavailable(Exception):
    """A kernel cannot be had here; the text says why."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel: its modules lie beside the image, as depmod(8) left them."""

    name: str
    image: Path


def default_cache() -> Path:
    """Return where kernels are kept: below $XDG_CACHE_HOME."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home, "nestbox-kernels")


def find(name: str, cache: Path) -> Kernel:
    """Return a kernel, fetched if it is not in the cache.

    Raises:
        Unavailable: there is no archive, or it has no such kernel.
    """
    directory = cache / name
    found = sorted(directory.glob("lib/modules/*/vmlinuz-*"))
    if not found:
        partial = cache / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        _unpack(_download(name, partial), partial)
        # Complete or not there, whenever it was interrupted.
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
        found = sorted(directory.glob("lib/modules/*/vmlinuz-*"))
    return Kernel(name=name, image=found[-1])


def _download(name: str, place: Path) -> Path:
    """Return the package of the kernel that the suite's own package stands for."""
    options = _options(place / "apt", SUITES[name])
    _call("apt-get", *options, "update", "-qq")
    depends = _call("apt-cache", *options, "show", PACKAGE)
    match = re.search(r"^Depends: (linux-image-[^ ,]+)", depends, re.MULTILINE)
    if match is None:
        raise Unavailable(f"the suite {SUITES[name]} has no {PACKAGE}")
    _call("apt-get", *options, "download", "-qq", match[1], cwd=place)
    (package,) = place.glob("*.deb")
    return package


def _options(apt: Path, suite: str) -> list[str]:
    (apt / "lists/partial").mkdir(parents=True)
    (apt / "archives/partial").mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_archive()} {suite} main\n")
    settings = {
        "Dir::State": apt,
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        # Its own user cannot reach directories of ours.
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _archive() -> str:
    """Return the address of Debian's main archive, as the machine's own apt knows it."""
    if not os.path.exists(KEYRING):
        raise Unavailable("Debian's archive keys are not installed (debian-archive-keyring)")
    known = _call("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)").splitlines()
    for label, _, address in (line.partition(" ") for line in known):
        if label == "Debian":
            return address
    raise Unavailable("apt knows no archive of Debian: run `apt-get update`")


def _unpack(package: Path, place: Path) -> None:
    """Keep the image and its modules, with the index that modprobe(8) needs."""
    _call("dpkg-deb", "--extract", str(package), str(place))
    package.unlink()
    modules = place / "usr/lib/modules"
    if modules.is_dir():
        modules.rename(place / "lib/modules")
    (image,) = place.glob("boot/vmlinuz-*")
    release = image.name.removeprefix("vmlinuz-")
    image.rename(place / "lib/modules" / release / image.name)
    _call("depmod", "--basedir", str(place), release)
    for name in ("apt", "boot", "usr"):
        shutil.rmtree(place / name, ignore_errors=True)


def _call(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command[:1])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
