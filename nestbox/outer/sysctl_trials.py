"""Whether sysctls that a container is to have can be set, by trial in namespaces like its own."""

from __future__ import annotations

from nestbox.errors import EnvironmentUnreadable
from nestbox.kernel import trials
from nestbox.kernel.namespaces import FLAG
from nestbox.outer.facts import Trial

_ROOT = "/proc/sys"


def try_sysctls(values: dict[str, str], kind: str, *, in_user_namespace: bool) -> dict[str, Trial]:
    """Return by path below /proc/sys whether each value can be set in a namespace of this kind.

    All of them must be sysctls of such a namespace (``"ipc"``, ``"net"``), which is thrown away.
    Those that nothing can be said of are left out: no namespace could be made, or /proc/sys is
    read-only here and will not be in the container.
    """
    paths = {f"{_ROOT}/{path}": value for path, value in values.items()}
    try:
        found = trials.try_writes(paths, FLAG[kind], in_user_namespace=in_user_namespace)
    except OSError as error:
        raise EnvironmentUnreadable(
            "cannot try in a child process which sysctls can be set",
            cause=f"clone(2) answered: {error.strerror}",
            remedy="let this process make another one: check the limits on processes",
        ) from error
    return {
        path.removeprefix(f"{_ROOT}/"): Trial(error=error)
        for path, error in found.items()
        if error != "EROFS"
    }
