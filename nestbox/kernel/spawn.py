"""Starting the executor: one clone3(2) with every new namespace, straight into its program."""

from __future__ import annotations

import os

import msgspec

from nestbox.kernel._syscalls import ffi, lib


class Spawned(msgspec.Struct, frozen=True, kw_only=True):
    """A child that runs the executor; the caller owns both descriptors and the duty to wait."""

    pid: int
    pidfd: int
    control: int  # our end of a SOCK_SEQPACKET pair


def spawn(
    plan: bytes, *, program: int, flags: int, stdio: tuple[int, int, int], cgroup: int = -1
) -> Spawned:
    """Start ``program``, a descriptor, with an encoded plan and return the child.

    ``flags`` are those of clone3(2); ``cgroup`` is an open v2 cgroup directory to be born in.

    Raises:
        OSError: the kernel refused; nothing is left behind.
    """
    # A reference of its own: the structure only points at the bytes.
    data = ffi.from_buffer("uint8_t[]", plan)
    request = ffi.new(
        "struct nb_spawn *",
        {
            "flags": flags,
            "plan": data,
            "plan_size": len(plan),
            "program": program,
            "cgroup": cgroup,
            "stdio": stdio,
        },
    )
    pid = lib.nb_spawn(request)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return Spawned(pid=pid, pidfd=request.pidfd, control=request.control)
