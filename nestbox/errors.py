"""Every error a user can see: what failed, why, and what to do about it.

NestboxError
    UsageError         the request contradicts itself or names what does not exist
    ProfileError       a profile cannot be read or contradicts itself
    ConfigError        a config.json cannot be read or asks for what the runtime spec rules out
    EnvironmentUnreadable  the outer environment cannot be observed, so nothing is decided
    Refused            policy refuses the launch before anything is created
    LaunchError        the kernel refused a step of the launch
        ProgramNotInvokable  the container's program cannot be executed
        ProgramNotFound      the container's program does not exist
    StateError         the state directory or a record in it is missing, damaged or in the way

Exit codes are those of docker run: 125 nestbox refused or failed, 126 the program cannot be
invoked, 127 the program was not found. A configuration from an engine fails with 1, as in runc.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes 6 ms to load
if TYPE_CHECKING:
    from typing import ClassVar


class NestboxError(Exception):
    """Base of every error that is shown to the user without a traceback.

    ``what`` names the operation and its subject, ``cause`` the fact that decided, ``remedy`` the
    smallest thing to do about it: three lower-case phrases without a full stop.
    """

    exit_code: ClassVar[int] = 125

    def __init__(self, what: str, *, cause: str, remedy: str) -> None:
        super().__init__(what, cause, remedy)
        self.what = what
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.cause} (try: {self.remedy})"


class UsageError(NestboxError):
    """The request contradicts itself or names what does not exist."""


class ProfileError(NestboxError):
    """A profile cannot be read or contradicts itself."""


class ConfigError(NestboxError):
    """A config.json cannot be read, or asks for what the runtime specification rules out."""

    exit_code = 1  # engines know no other failure of a runtime


class EnvironmentUnreadable(NestboxError):
    """The outer environment cannot be observed, so nothing may be decided from it."""


class Refused(NestboxError):
    """Policy refuses the launch before anything is created."""


class LaunchError(NestboxError):
    """The kernel refused a step of the launch."""


class ProgramNotInvokable(LaunchError):
    """The container's program exists and cannot be executed."""

    exit_code = 126


class ProgramNotFound(LaunchError):
    """The container's program does not exist inside the root."""

    exit_code = 127


class StateError(NestboxError):
    """The state directory or a record in it is missing, damaged or in the way."""


def reason(error: OSError | ValueError) -> str:
    """Return why the system, or Python for a NUL in a name, refused: lower-case words."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "its name has a NUL character" if "null" in str(error) else str(error).lower()
