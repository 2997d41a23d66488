"""The steps to the program that shows a root by FUSE, outside the container. Makes no choices."""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.plan.process import SIGKILL
from nestbox.plan.steps import (
    Exec,
    Ids,
    JoinNamespaces,
    LaunchPlan,
    OpenNamespace,
    ParentDeath,
    Preserve,
    Rlimit,
    Session,
    Step,
)
from nestbox.policy.launch_spec import FuseSpec

# The descriptors that it is given, in this order: /dev/fuse, lower, upper and work directory.
HANDED = 4
_DEVICE, _LOWER, _UPPER, _WORK = range(3, 3 + HANDED)


def compile_fuse(spec: FuseSpec, *, user_namespace: str, files_limit: int | None) -> LaunchPlan:
    """Return the plan of fuse-overlayfs.

    ``user_namespace`` is the file of the container's, or empty; ``files_limit`` how many files it
    may have open: one for each that the container has, and for each directory that it knows.
    """
    return LaunchPlan(namespaces=(), steps=tuple(_steps(spec, user_namespace, files_limit)))


def _steps(spec: FuseSpec, user_namespace: str, files_limit: int | None) -> Iterator[Step]:
    if user_namespace:
        # The ids that it tells are those of the namespace that the mount belongs to.
        yield OpenNamespace(namespace="user", path=user_namespace)
        yield JoinNamespaces()
        yield Ids(uid=0, gid=0, groups=None)
    # A signal of the terminal ends the container, which needs its root until then.
    yield Session()
    # After the change of ids, which clears it.
    yield ParentDeath(signal=SIGKILL)
    yield Rlimit(name="RLIMIT_NOFILE", soft=files_limit, hard=files_limit)
    yield Preserve(count=HANDED)
    # Directories by descriptor: no name of theirs has to be escaped, or can be another's by now.
    directories = ",".join(
        f"{key}=/proc/self/fd/{number}"
        for key, number in (("lowerdir", _LOWER), ("upperdir", _UPPER), ("workdir", _WORK))
    )
    options = f"{directories},squash_to_root" if spec.all_roots else directories
    yield Exec(
        argv=("fuse-overlayfs", "-f", "-o", options, f"/dev/fd/{_DEVICE}"),
        environment=(),
        candidates=(spec.program,),
    )
