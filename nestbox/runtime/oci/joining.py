"""The namespaces of a container's first process, held open for another process that joins them.

A path below /proc/PID is another process's as soon as that one is dead and its number given away,
and the namespaces of that one may be the machine's. A descriptor stays what it was.
"""

from __future__ import annotations

import os

from nestbox.errors import StateError, reason
from nestbox.policy.launch_spec import JoinSpec
from nestbox.runtime.processes import Process, is_alive


class HeldNamespaces:
    """Namespaces of one process; open until ``close``."""

    def __init__(self, process: Process, names: tuple[str, ...]) -> None:
        """Open the namespaces, by their names below /proc/PID/ns.

        Raises:
            StateError: the process is dead. All that was read of it before may be another's.
        """
        self._held: dict[str, int] = {}
        try:
            for name in names:
                path = f"/proc/{process.pid}/ns/{name}"
                self._held[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.close()
            raise _gone(process, reason(error)) from error
        # After everything: the number cannot have been another process's in between.
        if not is_alive(process):
            self.close()
            raise _gone(process, "it is dead, and its number may be another process's")

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors, for the process that is to join."""
        return tuple(self._held.values())

    def joined(self, first: int) -> tuple[JoinSpec, ...]:
        """Return how a process finds them that has got the descriptors from number ``first`` on.

        It has its own, since it may be kept from looking at ours.
        """
        return tuple(
            JoinSpec(namespace=name, path=f"/proc/self/fd/{first + index}")
            for index, name in enumerate(self._held)
        )

    def close(self) -> None:
        """Close them."""
        for fd in self._held.values():
            os.close(fd)
        self._held = {}


def _gone(process: Process, cause: str) -> StateError:
    return StateError(
        f"cannot enter the namespaces of process {process.pid}",
        cause=cause,
        remedy="start a container that keeps running",
    )
