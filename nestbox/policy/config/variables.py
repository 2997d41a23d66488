"""The environment variables of the program, and where it is looked for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.errors import UsageError
from nestbox.policy.config.places import inside, notify_path
from nestbox.policy.environment import PATH
from nestbox.policy.identity import parse_passwd
from nestbox.policy.paths import candidates

if TYPE_CHECKING:
    from nestbox.oci.process import Process
    from nestbox.policy.config.options import LaunchOptions


def variables_of(process: Process, options: LaunchOptions, passwd: str | None) -> tuple[str, ...]:
    """Return the variables: the last of a name counts, and HOME is the user's unless it is set.

    Raises:
        UsageError: one has no name, no ``=`` or a NUL in it.
    """
    kept: dict[str, str] = {}
    for text in (*process.env, *_of_options(options)):
        name, separator, value = text.partition("=")
        if not name or not separator or "\0" in text:
            raise _bad_variable(name, has_value=bool(separator))
        kept.pop(name, None)
        kept[name] = value
    if not kept.get("HOME"):
        kept.pop("HOME", None)
        kept["HOME"] = home_of(process.user.uid, passwd)
    return tuple(f"{name}={value}" for name, value in kept.items())


def _of_options(options: LaunchOptions) -> tuple[str, ...]:
    variables: tuple[str, ...] = ()
    if options.listen_fds:
        variables += (f"LISTEN_FDS={options.listen_fds}", "LISTEN_PID=1")
    notify = notify_path(options)
    return variables if notify is None else (*variables, f"NOTIFY_SOCKET={notify}")


def home_of(uid: int, passwd: str | None) -> str:
    """Return the home directory of a uid in a passwd file, ``/`` without an entry."""
    homes = (one.home for one in parse_passwd(passwd) if one.uid == uid)
    return next(homes, "") or "/"


def program_candidates(process: Process, options: LaunchOptions) -> tuple[str, ...]:
    """Return the paths at which the program is tried, in order; none for a process without one.

    Raises:
        UsageError: a variable is malformed.
    """
    if not process.args:
        return ()
    variables = variables_of(process, options, None)
    search = next((one[5:] for one in variables if one.startswith("PATH=")), PATH)
    return candidates(process.args[0], inside(process.cwd), search)


def _bad_variable(name: str, *, has_value: bool) -> UsageError:
    """Return the error; the value may be a secret and is not told."""
    if not has_value:
        cause = "missing '='"
    elif not name:
        cause = "name cannot be empty"
    else:
        cause = "contains nul byte (\\x00)"
    return UsageError(
        "invalid environment variable" + (f" {name!r}" if name and has_value else ""),
        cause=cause,
        remedy="write NAME=VALUE in process.env",
    )
