"""The root, how it is entered, and the paths that are covered or made read-only in it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.errors import UsageError
from nestbox.policy.launch_spec import RootSpec

if TYPE_CHECKING:
    from nestbox.policy.config.case import Case


def decide_root(case: Case) -> RootSpec:
    """Return how the root is made and entered.

    Raises:
        UsageError: its propagation is not safe without pivot_root.
    """
    written = case.config.linux.rootfs_propagation
    asked = written.removeprefix("r")
    if case.options.no_pivot and asked == "private":
        raise UsageError(
            "rootfsPropagation of [r]private is not safe without pivot_root",
            cause="the outer mounts stay within reach, and unmounting them would reach outside",
            remedy="leave --no-pivot out, or use slave",
        )
    return RootSpec(
        directory=case.root.directory,
        # Without a mount namespace it would be read-only for the machine as well.
        readonly=case.config.root.readonly and case.has("mount"),
        # An unbindable outer tree would give no binds either; only the new root is to be that.
        outer_propagation={"": "slave", "unbindable": "private"}.get(asked, asked),
        # Nothing is passed on from a private root, which it is without being told.
        propagation="" if asked == "private" else written,
        nodev=False,
        nosuid=False,
        entry=_entry(case),
        uncovered=case.bundle.kernel_mounts if _entry(case) == "move" else (),
    )


def _entry(case: Case) -> str:
    if not case.has("mount"):
        # Whatever is asked: moved over /, the root would cover that of the whole machine.
        return "chroot"
    return "move" if case.options.no_pivot else "pivot"
