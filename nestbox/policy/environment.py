"""The environment variables of the container's program. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nestbox.policy.request import RunRequest

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment_of(request: RunRequest, *, home: str, hostname: str) -> dict[str, str]:
    """Return the variables by name: defaults first, each replaced by the last ``-e`` that names it.

    HOME is the one of the user in the root's passwd file, and TERM is set with a terminal only, as
    docker does. ``container`` tells programs, and a nestbox inside, who made the container.
    Source: systemd's CONTAINER_INTERFACE.
    """
    variables = {"PATH": PATH, "HOSTNAME": hostname, "HOME": home, "container": "nestbox"}
    if request.terminal:
        variables["TERM"] = "xterm"
    for item in request.environment:
        name, _, value = item.partition("=")
        variables[name] = value
    return variables
