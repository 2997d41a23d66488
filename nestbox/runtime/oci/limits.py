"""Resource limits of another process."""

from __future__ import annotations

from nestbox.errors import LaunchError, reason
from nestbox.kernel.rlimits import RLIMITS
from nestbox.outer.facts import Limit


def set_limits(pid: int, limits: tuple[tuple[str, Limit], ...]) -> None:
    """Set limits of a process; None is no limit. Source: prlimit(2). Raises LaunchError."""
    import resource

    for name, limit in limits:
        soft, hard = (
            resource.RLIM_INFINITY if value is None else value for value in (limit.soft, limit.hard)
        )
        try:
            resource.prlimit(pid, RLIMITS[name], (soft, hard))
        except (OSError, ValueError, OverflowError) as error:
            cause = reason(error) if isinstance(error, OSError) else str(error)
            raise LaunchError(
                f"error setting rlimit {name}",
                cause=f"{soft}:{hard}: {cause}",
                remedy="ask for no more than the outer limit, which `nestbox doctor` shows",
            ) from error
