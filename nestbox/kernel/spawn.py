"""Starting the executor: one clone3(2) with every new namespace, straight into its program.

Where a filter hides clone3(2), clone(2) does the same in more steps; who calls says which.
"""

from __future__ import annotations

import os

import msgspec

from nestbox.kernel._syscalls import ffi, lib

_FILLED_IN = (-1, -1)  # the plan and the control socket


class Spawned(msgspec.Struct, frozen=True, kw_only=True):
    """A child that runs the executor; the caller owns both descriptors and the duty to wait."""

    pid: int
    pidfd: int
    control: int  # our end of a SOCK_SEQPACKET pair
    entered: tuple[
        bool, ...
    ] = ()  # for each of the tasks, whether the child has entered that cgroup


def spawn(  # noqa: PLR0913 - what a child is born with, each by its name
    plan: bytes,
    *,
    program: int,
    flags: int,
    stdio: tuple[int, int, int],
    plain: bool = False,
    cgroup: int = -1,
    tasks: tuple[int, ...] = (),
    listener: int = -1,
    preserved: tuple[int, ...] = (),
) -> Spawned:
    """Start ``program``, a descriptor, with an encoded plan and return the child.

    ``flags`` are those of clone3(2); ``plain`` calls clone(2) in its place; ``cgroup`` is an open
    v2 cgroup directory to be born in, or with ``plain`` to be entered at once; ``tasks`` are files
    of that name in v1 cgroups that the child enters as far as it can; ``listener`` is a socket that
    listens for who starts the container; ``preserved`` are the descriptors that the plan gives to
    the container's program as 3 and following.

    Raises:
        OSError: the kernel refused; nothing is left behind.
    """
    # A reference of its own: the structure only points at the bytes.
    data = ffi.from_buffer("uint8_t[]", plan)
    given = ffi.new("int32_t[]", (*stdio, *_FILLED_IN, listener, *preserved))
    files = ffi.new("int32_t[]", tasks)
    request = ffi.new(
        "struct nb_spawn *",
        {
            "flags": flags,
            "plain": plain,
            "plan": data,
            "plan_size": len(plan),
            "program": program,
            "cgroup": cgroup,
            "tasks": files,
            "tasks_count": len(tasks),
            "given": given,
            "given_count": len(given),
        },
    )
    pid = lib.nb_spawn(request)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return Spawned(
        pid=pid,
        pidfd=request.pidfd,
        control=request.control,
        entered=tuple(file < 0 for file in files),
    )
