"""Write the golden texts of tests/root/nesting for other kernels: `python -m …vm.goldens`.

Arguments are names of kernels, all by default. A guest writes the texts to the directory that it
shares with us; what it has to say beside the texts of the reference machine is then copied. The
newest kernel comes first, since the texts of older ones are compared with its own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from integration.vm import kernels
from integration.vm.guest import SHARE, Guest
from integration.vm.image import TREE, make_image
from tests.root.nesting.goldens import GOLDEN, UPDATE, class_file

SECONDS = 4 * 3600
_TESTS = "tests/root/nesting/test_matrix.py"


def main(names: list[str]) -> int:
    """Write the texts of these kernels; return 0 when every guest wrote its own."""
    for name in names or reversed(kernels.SUITES):
        with tempfile.TemporaryDirectory(prefix="nestbox-goldens-") as place:
            status = _write(name, Path(place))
        if status != 0:
            return 1
    return 0


def _write(name: str, place: Path) -> int | None:
    """Return the status of pytest in the guest of a kernel; None when it did not end."""
    kernel = kernels.find(name, kernels.default_cache())
    share = place / "share"
    words = [f"{TREE}/.venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    variables = [f"{UPDATE}={SHARE}/golden", "NESTBOX_TEST_SECONDS=600"]
    command = ["env", "-C", str(TREE), *variables, *words, "-k", "golden", _TESTS]
    # What was written for this kernel before must not be what the guest compares with.
    own = class_file("*", f"v2-{name}")
    for stale in GOLDEN.glob(own):
        stale.unlink()
    guest = Guest(kernel, make_image(place / "disk"), share, command, seconds=SECONDS)
    while not guest.wait(60):
        pass
    done = guest.close()
    print(done.output[-2000:])
    written = share / "golden"
    for file in sorted(written.iterdir()) if written.exists() else ():
        shutil.copy(file, GOLDEN / file.name)
    return done.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
