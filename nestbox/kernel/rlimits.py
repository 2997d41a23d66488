"""Resource limits by name: the one list, with the numbers of the kernel's header."""

from __future__ import annotations

from nestbox.kernel._syscalls import lib

# Source: getrlimit(2), include/uapi/asm-generic/resource.h.
RLIMITS: dict[str, int] = {
    "RLIMIT_AS": lib.RLIMIT_AS,
    "RLIMIT_CORE": lib.RLIMIT_CORE,
    "RLIMIT_CPU": lib.RLIMIT_CPU,
    "RLIMIT_DATA": lib.RLIMIT_DATA,
    "RLIMIT_FSIZE": lib.RLIMIT_FSIZE,
    "RLIMIT_LOCKS": lib.RLIMIT_LOCKS,
    "RLIMIT_MEMLOCK": lib.RLIMIT_MEMLOCK,
    "RLIMIT_MSGQUEUE": lib.RLIMIT_MSGQUEUE,
    "RLIMIT_NICE": lib.RLIMIT_NICE,
    "RLIMIT_NOFILE": lib.RLIMIT_NOFILE,
    "RLIMIT_NPROC": lib.RLIMIT_NPROC,
    "RLIMIT_RSS": lib.RLIMIT_RSS,
    "RLIMIT_RTPRIO": lib.RLIMIT_RTPRIO,
    "RLIMIT_RTTIME": lib.RLIMIT_RTTIME,
    "RLIMIT_SIGPENDING": lib.RLIMIT_SIGPENDING,
    "RLIMIT_STACK": lib.RLIMIT_STACK,
}
