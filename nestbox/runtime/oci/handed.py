"""What the runtime does for mounts of the executor, whose user namespace has no right to do it.

It opens what is bound, where the container's root may not go, and maps the ids of mounts.

Source: mount_setattr(2), "ID-mapped mounts".
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from nestbox.errors import LaunchError, NestboxError, reason
from nestbox.executor.encode import encode, namespace_flags
from nestbox.executor.program import sealed_program
from nestbox.kernel import constants as c
from nestbox.kernel.spawn import spawn
from nestbox.kernel.syscalls import mount_setattr, openat2, pidfd_send_signal
from nestbox.plan.steps import SYNC_ID_MAPS, LaunchPlan, Sync
from nestbox.policy.launch_spec import IdMapping, MountSpec
from nestbox.runtime.idmaps import write_rows

_SIGKILL = 9


def open_source(mount: MountSpec, executor: int) -> int:
    """Return a descriptor of what is to be bound, which the executor copies.

    It is looked for in the mounts of the executor, with our rights: its copies of the outer mounts
    are those whose read-only and other flags no user namespace can take away.

    Raises:
        LaunchError: the source is not there, or not to be reached.
    """
    try:
        root = os.open(f"/proc/{executor}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_PATH | os.O_CLOEXEC
            return openat2(root, mount.source, flags, resolve=c.RESOLVE_IN_ROOT)
        finally:
            os.close(root)
    except OSError as error:
        raise _failed(mount, "the source cannot be bound", error) from error


def map_lent(fd: int, mount: MountSpec, container_pid: int, *, plain_clone: bool) -> None:
    """Map the ids of a detached mount that the executor has made.

    ``container_pid`` is a process of the container's user namespace, by which a mapping without
    rows is done; with ``plain_clone`` another one is made by clone(2).

    Raises:
        LaunchError: the kernel refuses.
    """
    if mount.id_mapping is not None:
        plan = LaunchPlan(
            namespaces=("user",), steps=(Sync(reason=SYNC_ID_MAPS),), plain_clone=plain_clone
        )
        _map_ids(fd, mount, mount.id_mapping, container_pid, plan)


def _map_ids(
    fd: int, mount: MountSpec, mapping: IdMapping, container_pid: int, plan: LaunchPlan
) -> None:
    flags = c.AT_EMPTY_PATH | (c.AT_RECURSIVE if mapping.recursive else 0)
    with _user_namespace(mapping, container_pid, plan) as userns:
        try:
            mount_setattr(fd, "", flags, set_=c.MOUNT_ATTR_IDMAP, userns=userns)
        except OSError as error:
            raise _failed(
                mount, "its ids cannot be mapped, perhaps its file system cannot", error
            ) from error


@contextlib.contextmanager
def _user_namespace(mapping: IdMapping, container_pid: int, plan: LaunchPlan) -> Iterator[int]:
    """Give a descriptor of a user namespace with these maps."""
    if not mapping.uid_map:
        with _opened(f"/proc/{container_pid}/ns/user") as userns:
            yield userns
        return
    # An executor that waits is a process that does nothing, in a new user namespace.
    with open(os.devnull, "rb", buffering=0) as null:
        fd = null.fileno()
        try:
            child = spawn(
                encode(plan),
                program=sealed_program(),
                flags=namespace_flags(plan.namespaces),
                stdio=(fd, fd, fd),
                plain=plan.plain_clone,
            )
        except OSError as error:
            raise LaunchError(
                "cannot map the ids of a mount",
                cause=f"a user namespace cannot be made: {reason(error)}",
                remedy="run `nestbox doctor`: it says what stops user namespaces",
            ) from error
    try:
        write_rows(child.pid, "gid_map", mapping.gid_map)
        write_rows(child.pid, "uid_map", mapping.uid_map)
        with _opened(f"/proc/{child.pid}/ns/user") as userns:
            yield userns
    finally:
        with contextlib.suppress(ProcessLookupError):
            pidfd_send_signal(child.pidfd, _SIGKILL)
        os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
        os.close(child.pidfd)
        os.close(child.control)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LaunchError(
            f"cannot open {path}", cause=reason(error), remedy="look at the kernel log"
        ) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _failed(mount: MountSpec, cause: str, error: OSError) -> NestboxError:
    return LaunchError(
        f"cannot mount {mount.source!r} to {mount.target!r}",
        cause=f"{cause}: {reason(error)}",
        remedy="check the source, or run `nestbox doctor`",
    )
