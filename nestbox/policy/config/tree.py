"""The root, how it is entered, and the paths that are covered or made read-only in it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.errors import UsageError
from nestbox.outer.facts import Subject
from nestbox.policy.launch_spec import RootSpec
from nestbox.policy.subjects import lacks_pivot, need

if TYPE_CHECKING:
    from nestbox.policy.config.case import Case


def decide_root(case: Case) -> RootSpec:
    """Return how the root is made and entered.

    Raises:
        UsageError: its propagation is not safe without pivot_root.
    """
    written = case.config.linux.rootfs_propagation
    asked = written.removeprefix("r")
    if _entry(case) == "move" and asked == "private":
        raise UsageError(
            "rootfsPropagation of [r]private is not safe without pivot_root",
            cause="the outer mounts stay within reach, and unmounting them would reach outside",
            remedy="leave --no-pivot out, or use slave"
            if case.options.no_pivot
            else "let the outer seccomp filter allow pivot_root(2), or use slave",
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
        uncovered=_uncovered(case),
    )


def _entry(case: Case) -> str:
    if not case.has("mount"):
        # Whatever is asked: moved over /, the root would cover that of the whole machine.
        return "chroot"
    moved = case.options.no_pivot or lacks_pivot(case.environment)
    return "move" if moved else "pivot"


def _uncovered(case: Case) -> tuple[str, ...]:
    if _entry(case) != "move":
        return ()
    if case.options.no_pivot:
        return case.bundle.kernel_mounts
    from nestbox.policy.entry import whole_kernel_mounts

    return whole_kernel_mounts(need(case.environment.mounts, Subject.MOUNTS), case.root.directory)
