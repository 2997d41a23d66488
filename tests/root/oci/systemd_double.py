"""A service that answers on a bus as systemd does, as far as runtimes use it.

``python -m tests.root.oci.systemd_double ADDRESS JOURNAL VERSION`` writes a line when it is ready,
and each call that it gets as a line of JSON into the journal. It makes the cgroups of units below
the mounts of cgroup v2, and moves the processes there.

A unit with "failing" in its name fails; of one with "early" the end of the job is told before the
call is answered.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.bus import get_connectable_addresses
from jeepney.io.blocking import DBusConnection, Proxy, prep_socket

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = DBusAddress(PATH, bus_name=NAME, interface=f"{NAME}.Manager")
JOB = "/org/freedesktop/systemd1/job/"


class Service:
    """The units that there are, and the ways to ask for them."""

    def __init__(self, connection: DBusConnection, journal: str, version: str) -> None:
        self.connection = connection
        self.journal = journal
        self.properties = {"Version": version, "ControlGroup": "/user.slice/user@7.service"}
        self.units: dict[str, str] = {}  # a unit, and "active" or "failed"
        self.jobs = 0

    def answer(self, message: Message) -> None:
        """Answer one call."""
        fields = message.header.fields
        if message.header.message_type is not MessageType.method_call:
            return
        member = fields[HeaderFields.member]
        with open(self.journal, "a", encoding="utf-8") as file:
            file.write(json.dumps([member, message.body], default=list) + "\n")
        getattr(self, f"on_{member}")(message, *message.body)

    def on_Get(self, message: Message, interface: str, name: str) -> None:
        self.reply(message, "v", ("s", self.properties[name]))

    def on_StartTransientUnit(
        self, message: Message, unit: str, mode: str, properties: list[Any], aux: list[Any]
    ) -> None:
        if unit in self.units:
            self.fail(message, f"{NAME}.UnitExists", f"Unit {unit} was already loaded.")
            return
        values = {name: value for name, (_, value) in properties}
        failing = "failing" in unit
        self.units[unit] = "failed" if failing else "active"
        if not failing:
            make_cgroup(values.get("Slice", ""), unit, values.get("PIDs", []))
        self.job(message, unit, "failed" if failing else "done")

    def on_SetUnitProperties(
        self, message: Message, unit: str, runtime: bool, properties: list[Any]
    ) -> None:
        if unit not in self.units:
            self.fail(message, f"{NAME}.NoSuchUnit", f"Unit {unit} not loaded.")
            return
        self.reply(message, "", *())

    def on_StopUnit(self, message: Message, unit: str, mode: str) -> None:
        if unit not in self.units:
            self.fail(message, f"{NAME}.NoSuchUnit", f"Unit {unit} not loaded.")
            return
        del self.units[unit]
        self.job(message, unit, "done")

    def on_ResetFailedUnit(self, message: Message, unit: str) -> None:
        if self.units.get(unit) != "failed":
            self.fail(message, f"{NAME}.NoSuchUnit", f"Unit {unit} not loaded.")
            return
        del self.units[unit]
        self.reply(message, "", *())

    def job(self, message: Message, unit: str, result: str) -> None:
        """Answer with a job, and tell that it is over; another one's end comes before."""
        self.jobs += 2
        path = f"{JOB}{self.jobs}"
        self.tell(f"{JOB}{self.jobs - 1}", "other.service", "canceled")
        if "early" in unit:
            self.tell(path, unit, result)
            self.reply(message, "o", path)
        else:
            self.reply(message, "o", path)
            self.tell(path, unit, result)

    def tell(self, path: str, unit: str, result: str) -> None:
        body = (self.jobs, path, unit, result)
        self.connection.send(new_signal(MANAGER, "JobRemoved", "uoss", body))

    def reply(self, message: Message, signature: str, *body: object) -> None:
        self.connection.send(new_method_return(message, signature or None, body))

    def fail(self, message: Message, name: str, words: str) -> None:
        self.connection.send(new_error(message, name, "s", (words,)))


def make_cgroup(parent: str, unit: str, pids: list[int]) -> None:
    """Make the cgroup of a unit and move processes there, as systemd does on a hybrid machine."""
    stem = parent.removesuffix(".slice").split("-")
    path = "".join(f"/{'-'.join(stem[: end + 1])}.slice" for end in range(len(stem)))
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split()[4] for line in file if " - cgroup2 " in line]
    for mount in mounts:
        directory = f"{mount}{path}/{unit}"
        os.makedirs(directory, exist_ok=True)
        for pid in pids:
            with open(f"{directory}/cgroup.procs", "w", encoding="utf-8") as file:
                file.write(str(pid))


def main() -> None:
    address, journal, version = sys.argv[1:]
    connection = DBusConnection(prep_socket(next(get_connectable_addresses(address))))
    Proxy(message_bus, connection).RequestName(NAME)
    service = Service(connection, journal, version)
    print("ready", flush=True)
    while True:
        service.answer(connection.receive())


if __name__ == "__main__":
    main()
