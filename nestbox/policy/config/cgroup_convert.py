"""Conversions from the resources of runtime-spec, which are those of cgroup v1, to v2. Pure."""

from __future__ import annotations

import math
from typing import Final

from nestbox.errors import ConfigError

_MIN_SHARES: Final = 2
_MAX_SHARES: Final = 262_144
_MAX_WEIGHT: Final = 10_000


def weight_of_shares(shares: int) -> int:
    """Return cpu.weight (1 to 10000) for cpu.shares (2 to 262144); 0 for 0.

    The exponent is quadratic in the logarithm of the shares, so that the smallest, the default
    (1024 and 100) and the greatest values correspond. Source: the KEP of Kubernetes that fixed it,
    kubernetes/enhancements 2254, and runc since 1.3.2.
    """
    if shares <= 0:
        return 0
    if shares <= _MIN_SHARES:
        return 1
    if shares >= _MAX_SHARES:
        return _MAX_WEIGHT
    bits = math.log2(shares)
    return math.ceil(10 ** ((bits * bits + 125 * bits) / 612 - 7 / 34))


def weight_of_block_io(weight: int) -> int:
    """Return io.weight (1 to 10000) for blkio.weight (10 to 1000), on a line; 0 for 0."""
    return 1 + max(weight - 10, 0) * 9999 // 990 if weight else 0


def swap_alone(both: int, memory: int) -> int:
    """Return the limit of swap for one of memory and swap together; -1 unlimited, 0 not set.

    Equal limits mean no swap: the caller tells that 0 from "not set" by ``both``.

    Raises:
        ConfigError: there is no memory limit to take off, or it is greater than both together.
    """
    if both == 0 and memory == -1:
        return -1  # as on version 1, unlimited memory takes the limit from swap too
    if both in {-1, 0} or memory == -1:
        return both
    if memory == 0:
        raise _contradiction(both, memory, "unable to set swap limit without memory limit")
    if memory < 0:
        raise _contradiction(both, memory, f"invalid memory value: {memory}")
    if both < memory:
        raise _contradiction(both, memory, "memory+swap limit should be >= memory limit")
    return both - memory


def limit_text(value: int) -> str:
    """Return a limit as version 2 has it: -1 is "max"."""
    return "max" if value == -1 else str(value)


def pids_text(limit: int) -> str:
    """Return pids.max: a negative limit is none, and 0 is 1, the least that systemd can set too."""
    return "max" if limit < 0 else str(max(limit, 1))


def _contradiction(both: int, memory: int, cause: str) -> ConfigError:
    return ConfigError(
        f"cannot limit memory to {memory} and memory with swap to {both}",
        cause=cause,
        remedy="set both, the second not below the first",
    )
