"""A minimal Debian as a tar: made once by debootstrap from a mirror, kept for later runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
_SECONDS = 600


def _cache() -> Path:
    directory = Path(os.environ.get("XDG_CACHE_HOME", "/var/cache")) / "nestbox-tests"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def base() -> Path:
    """Return the tar of the root.

    Raises:
        subprocess.CalledProcessError: no mirror is reached, or debootstrap fails.
    """
    archive = _cache() / f"debian-{SUITE}.tar"
    if archive.exists():
        return archive
    with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
        root = Path(scratch, "root")
        subprocess.run(
            ["debootstrap", "--variant=minbase", SUITE, str(root), MIRROR],
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )
        # The packages that it was made from.
        shutil.rmtree(root / "var/cache/apt/archives")
        partial = Path(scratch, "partial.tar")
        with tarfile.open(partial, "w") as tar:
            tar.add(root, arcname=".")
        partial.rename(archive)
    return archive
