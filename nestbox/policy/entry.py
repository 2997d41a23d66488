"""How a container comes to its root: by pivot_root(2), or by moving it over the present one. Pure.

docker's filter allows the mount calls to a container that has CAP_SYS_ADMIN, and pivot_root to
none. The lower rung leaves the outer root mounted, below that of the container: nothing leads down
to it but unmounting what lies over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.derived import is_below
from nestbox.outer.facts import Subject
from nestbox.policy.subjects import lacks_chroot, lacks_pivot, need
from nestbox.policy.wish import by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import Mount, OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.launch_spec import RootSpec

_SHOW_THE_KERNEL: Final = frozenset({"proc", "sysfs"})


def decide_entry(
    root: RootSpec, environment: OuterEnvironment, *, reachable: int, new_user_namespace: bool
) -> tuple[RootSpec, tuple[Decision, ...]]:
    """Return the root with the way to it, and the decision where that is not pivot_root(2).

    ``reachable`` is the mask of the capabilities that the container can ever hold.
    """
    if not lacks_pivot(environment):
        return root, ()
    moved = msgspec.structs.replace(
        root,
        entry="move",
        uncovered=whole_kernel_mounts(need(environment.mounts, Subject.MOUNTS), root.directory),
    )
    wish = by_nestbox("root.entry", "the outer root is left with pivot_root(2)")
    cause = "the outer seccomp filter does not allow pivot_root(2)"
    if lacks_chroot(environment, new_user_namespace=new_user_namespace):
        refused = wish.refused(
            cause=f"{cause}, and chroot(2), which the other way needs, asks for CAP_SYS_CHROOT",
            remedy="start the outer container with --cap-add SYS_CHROOT",
        )
        return root, (refused,)
    if not reachable >> BY_NAME["CAP_SYS_ADMIN"] & 1:
        return moved, (
            wish.granted("the outer root is covered by that of the container", cause=cause),
        )
    return moved, (
        wish.short(
            "the outer root is covered by that of the container, which CAP_SYS_ADMIN can undo",
            cause=cause,
            remedy="let the outer filter allow it; for docker, with --security-opt "
            "seccomp=unconfined",
        ),
    )


def whole_kernel_mounts(mounts: tuple[Mount, ...], root_directory: str) -> tuple[str, ...]:
    """Return where a whole proc or sysfs is mounted outside the root of the container.

    As long as one is mounted anywhere, a user namespace inside the container gets fresh ones.
    Source: fs/namespace.c mnt_already_visible.
    """
    return tuple(
        mount.target
        for mount in mounts
        if mount.fstype in _SHOW_THE_KERNEL
        and mount.root == "/"
        and (root_directory == "/" or not is_below(mount.target, root_directory))
    )
