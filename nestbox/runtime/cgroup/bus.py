"""A connection to systemd over D-Bus: calls, and waiting for the job that a call starts."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nestbox.errors import LaunchError
from nestbox.runtime.cgroup.wire import Connection, unreachable

if TYPE_CHECKING:
    from types import TracebackType

_BOOTED = "/run/systemd/system"  # sd_booted(3)
_SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"

_JOB_SECONDS = 30.0
_CALL_SECONDS = 25.0  # the default of D-Bus libraries


class BusError(Exception):
    """An error that systemd answered with: its D-Bus name, and its words."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name
        self.words = words


def address_of(*, rootless: bool, environment: Mapping[str, str]) -> str:
    """Return the address of the bus at which systemd listens: the system's, or the user's.

    Raises:
        LaunchError: systemd does not run here, or the user has no bus.
    """
    if not rootless:
        if not os.path.isdir(_BOOTED):
            raise LaunchError(
                "systemd not running on this host, cannot use systemd cgroups manager",
                cause=f"there is no {_BOOTED}",
                remedy="use the cgroupfs manager: without --systemd-cgroup, or in the engine with "
                'its option for cgroups ("native.cgroupdriver=cgroupfs", SystemdCgroup = false)',
            )
        return environment.get("DBUS_SYSTEM_BUS_ADDRESS", "") or _SYSTEM_BUS
    address = environment.get("DBUS_SESSION_BUS_ADDRESS", "")
    if address:
        return address
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime and os.path.exists(f"{runtime}/bus"):
        return f"unix:path={_escaped(f'{runtime}/bus')}"
    raise LaunchError(
        "cannot reach the user's systemd",
        cause="neither DBUS_SESSION_BUS_ADDRESS nor $XDG_RUNTIME_DIR/bus is there",
        remedy="install dbus-user-session and log in anew, or use --cgroup-manager cgroupfs",
    )


def _escaped(path: str) -> str:
    """Return a path as the value of an address. Source: D-Bus specification, "Server Addresses"."""
    plain = "-_/.\\*"
    return "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in plain)
        else "".join(f"%{byte:02x}" for byte in sign.encode())
        for sign in path
    )  # fmt: skip


class Systemd:
    """A connection to one systemd; to be used in a ``with``."""

    def __init__(self, address: str) -> None:
        """Connect. Raises LaunchError."""
        from jeepney import MatchRule, message_bus

        self._connection = Connection(address)
        rule = MatchRule(type="signal", interface=_MANAGER, member="JobRemoved", path=_PATH)
        try:
            self._connection.call(message_bus.AddMatch(rule), _CALL_SECONDS)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Systemd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def call(self, member: str, signature: str, *arguments: object) -> tuple[Any, ...]:
        """Return what a method of the manager returns. Raises BusError, LaunchError."""
        return self._call(_MANAGER, member, signature, arguments)

    def manager_property(self, name: str) -> str:
        """Return a property of the manager that is a string. Raises BusError, LaunchError."""
        ((_, value),) = self._call(_PROPERTIES, "Get", "ss", (_MANAGER, name))
        return str(value)

    @property
    def version(self) -> int:
        """The version of systemd; 0 when it does not tell."""
        try:
            text = self.manager_property("Version").lstrip('v"')
        except BusError:
            return 0
        end = next((at for at, sign in enumerate(text) if not sign.isdecimal()), len(text))
        return int(text[:end] or 0)

    def job(self, member: str, signature: str, *arguments: object) -> str:
        """Return how the job ended that a method starts: "done", "failed", "timeout", …

        Raises:
            BusError: the method failed.
            LaunchError: the bus is gone, or the job is not over after 30 seconds.
        """
        (path,) = self.call(member, signature, *arguments)
        deadline = time.monotonic() + _JOB_SECONDS
        while True:
            try:
                message = self._connection.next_signal(deadline - time.monotonic())
            except TimeoutError as error:
                raise LaunchError(
                    f"cannot wait for systemd's {member}",
                    cause=f"its job is not over after {_JOB_SECONDS:g} seconds",
                    remedy="see what systemd waits for: systemctl list-jobs",
                ) from error
            # The bus itself sends signals too, of another form.
            if len(message.body) == 4 and message.body[1] == path:
                return str(message.body[3])

    def _call(
        self, interface: str, member: str, signature: str, arguments: tuple[object, ...]
    ) -> tuple[Any, ...]:
        from jeepney import DBusAddress, DBusErrorResponse, new_method_call
        from jeepney.wrappers import unwrap_msg

        address = DBusAddress(_PATH, bus_name=_NAME, interface=interface)
        message = new_method_call(address, member, signature, arguments)
        try:
            return tuple(unwrap_msg(self._connection.call(message, _CALL_SECONDS)))
        except DBusErrorResponse as error:
            raise BusError(error.name, " ".join(map(str, error.data or ()))) from error
        except TimeoutError as error:
            raise unreachable(error) from error
