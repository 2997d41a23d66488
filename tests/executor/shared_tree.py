"""A container in a tree that is shared with others: prints what its mounts did to that tree.

Started in a mount namespace of its own by the test; the arguments are a root and a volume.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nestbox.policy.launch_spec import MountSpec, RootSpec
from tests.executor.boxes import PROC, box, run


def targets() -> set[str]:
    """Return where something is mounted here."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines}


def main(root: str, volume: str) -> None:
    """Mount something in a shared volume of a container, and print what came and what went."""
    before = targets()
    shared = MountSpec(
        fstype="bind", source=volume, target="/data", propagation="shared", recursive=True
    )
    launch = box(
        Path(root),
        "mkdir -p /data/new; mount -t tmpfs tmpfs /data/new && touch /data/new/file",
        root=RootSpec(directory=root, nodev=False, outer_propagation="rshared"),
        mounts=(PROC, shared),
    )
    code, _ = run(launch)
    after = targets()
    print(code, sorted(after - before), sorted(before - after))


if __name__ == "__main__":
    main(*sys.argv[1:])
