"""The systemd driver over a real D-Bus daemon; what answers there is a double of systemd."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nestbox.errors import LaunchError
from nestbox.oci.resources import LinuxResources
from nestbox.policy.config.cgroup_devices import device_rules
from nestbox.policy.config.cgroup_location import CgroupLocation, LocationRequest, locate
from nestbox.policy.config.cgroup_settings import settings
from nestbox.policy.config.cgroup_variant import annotated_properties
from nestbox.policy.launch_spec import CgroupSpec
from nestbox.runtime.cgroup import limits, setup, systemd, tree, wire
from nestbox.runtime.cgroup.bus import Systemd, address_of
from nestbox.runtime.cgroup.processes import kill_all, processes
from nestbox.runtime.cgroup.removal import remove, remove_directory
from nestbox.runtime.cgroup.update import update
from tests.root.oci.cgroups import facts, memberships, process

CONFIGURATION = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*" eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""


@dataclass
class Bus:
    """A bus with a systemd on it, and what that was asked."""

    address: str
    journal: Path

    def calls(self, member: str) -> list[list[Any]]:
        """Return the arguments of each call of a method, in order."""
        lines = map(json.loads, self.journal.read_text().splitlines())
        return [arguments for name, arguments in lines if name == member]

    def properties(self, member: str) -> dict[str, Any]:
        """Return the properties of the last call: names and values."""
        arguments = self.calls(member)[-1]
        listed = next(one for one in arguments if isinstance(one, list))
        return {name: value for name, (_, value) in listed}


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """Give a bus of its own, which is the user's for this test."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed")
    with contextlib.ExitStack() as stack:
        # Another user has to reach the socket, which is not so below pytest's own directory.
        open_to_all = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        open_to_all.chmod(0o755)
        configuration = tmp_path / "bus.conf"
        configuration.write_text(CONFIGURATION.format(socket=open_to_all / "bus"))
        daemon = ["dbus-daemon", "--nofork", "--print-address", f"--config-file={configuration}"]
        address = stack.enter_context(_running(daemon))
        journal = tmp_path / "journal"
        journal.touch()
        double = [sys.executable, "-m", "tests.root.oci.systemd_double"]
        stack.enter_context(_running([*double, address, str(journal), "v252.5-2"]))
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield Bus(address, journal)


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[str]:
    """Run a service; give the line that it writes when it is ready."""
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as service:
        assert service.stdout is not None
        try:
            yield service.stdout.readline().strip()
        finally:
            service.send_signal(signal.SIGTERM)


@pytest.fixture
def location(bus: Bus) -> Iterator[CgroupLocation]:
    """Give the location of a scope of the user's systemd; nothing of it is left after."""
    yield from _located("early")


def _located(kind: str, version: int = 2) -> Iterator[CgroupLocation]:
    name = f"{kind}{os.urandom(4).hex()}"
    request = LocationRequest(
        container=name, path=f"nbtest-{name}.slice:test:{name}", manager="systemd"
    )
    found = msgspec.structs.replace(locate(request, facts(version)), rootless=True)
    found = msgspec.structs.replace(found, made=tree.missing(found))
    try:
        yield found
    finally:
        kill_all(found, signal.SIGKILL)
        with contextlib.suppress(LaunchError):
            remove(found)


def asked(location: CgroupLocation, **parts: object) -> setup.CgroupSetup:
    resources = msgspec.convert(parts, LinuxResources)
    return setup.CgroupSetup(
        container="web",
        location=location,
        resources=resources,
        settings=settings(resources, location),
        rules=device_rules(()),
        annotated=annotated_properties({"org.systemd.property.TimeoutStopSec": "uint64 3"}),
    )


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_from_its_unit_to_its_end(bus, version):
    for location in _located("early", version):
        # On version 1 what is not limited here: its controllers are there, those of version 2 not.
        limits = {"pids": {"limit": 20}} if version == 1 else {"unified": {"cgroup.max.depth": "5"}}
        wanted = asked(location, **limits)
        with process() as child:
            state = setup.make(wanted)
            assert tree.open_directory(state.location) is None
            assert bus.calls("StartTransientUnit") == []
            state = setup.enter(state, child.pid)
            started = bus.properties("StartTransientUnit")
            assert started["PIDs"] == [child.pid]
            assert started["Slice"] == location.slice
            assert started["Delegate"] is True
            assert started["TimeoutStopUSec"] == 3_000_000
            limited = bus.properties("SetUnitProperties")
            assert limited["DevicePolicy"] == "strict"
            assert limited.get("TasksMax") == (20 if version == 1 else None)
            found = memberships(child.pid)
            for key, directory in location.directories.items():
                assert location.mounts[key] + found[key] == directory
            assert processes(state.location) == (child.pid,)
            kill_all(state.location, signal.SIGKILL)
            child.wait()
        remove(state.location)
        assert bus.calls("StopUnit") == [[location.unit, "replace"]]
        assert not any(map(os.path.exists, location.directories.values()))


def test_an_update_goes_to_systemd_and_to_the_cgroup(bus):
    for location in _located("web", 1):
        wanted = asked(location, pids={"limit": 20})
        with process() as child:
            setup.enter(setup.make(wanted), child.pid)
            change = msgspec.convert({"pids": {"limit": -1}}, LinuxResources)
            update(location, wanted.resources, change)
            assert bus.properties("SetUnitProperties") == {"TasksMax": (1 << 64) - 1}
            assert Path(location.directories["pids"], "pids.max").read_text() == "max\n"


def test_a_unit_that_failed_before_is_cleared_away_once(bus):
    for location in _located("failing"):
        for _ in range(2):
            with process() as child, pytest.raises(LaunchError, match="got `failed`"):
                setup.enter(setup.make(asked(location)), child.pid)
        # Each failure clears its unit away itself; one that another left is met by a restart.
        assert len(bus.calls("ResetFailedUnit")) == 2
        with Systemd(bus.address) as manager:
            unit = location.unit
            manager.job("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "replace", [], [])
        with process() as child, pytest.raises(LaunchError, match="got `failed`"):
            setup.enter(setup.make(asked(location)), child.pid)
        assert len(bus.calls("ResetFailedUnit")) == 4


def test_a_unit_that_is_active_is_not_taken(bus, location):
    wanted = asked(location)
    with process() as child:
        setup.enter(setup.make(wanted), child.pid)
        with pytest.raises(LaunchError, match="unable to start unit") as caught:
            setup.enter(setup.make(wanted), child.pid)
        assert "UnitExists" in caught.value.cause


def test_what_is_gone_can_be_stopped(bus, location):
    systemd.stop(location)
    remove(location)


def test_properties_of_a_unit_that_is_gone_are_refused(bus, location):
    with pytest.raises(LaunchError, match="unable to set unit properties"):
        systemd.set_properties(location, LinuxResources())


def test_the_manager_tells_its_version_and_its_cgroup(bus):
    with Systemd(bus.address) as manager:
        assert manager.version == 252
    assert systemd.manager_cgroup(rootless=True) == "/user.slice/user@7.service"


def test_a_user_is_known_to_the_bus_from_within_a_user_namespace(bus):
    """Its uid there is 0, outside somebody else's: the kernel tells the bus the real one."""
    script = (
        "import sys; from nestbox.runtime.cgroup.bus import Systemd\n"
        "with Systemd(sys.argv[1]) as manager: print(manager.version)"
    )
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command += ["unshare", "--user", "--map-root-user"]
    done = subprocess.run(
        [*command, sys.executable, "-c", script, bus.address],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout == "252\n", done.stderr


def test_without_systemd_that_is_said(monkeypatch, tmp_path):
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("systemd runs here")
    with pytest.raises(LaunchError, match="systemd not running on this host, cannot use systemd"):
        systemd.connect(rootless=False)
    with pytest.raises(LaunchError, match="cannot reach the user's systemd"):
        address_of(rootless=True, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    (tmp_path / "bus").touch()
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert address_of(rootless=True, environment=environment) == f"unix:path={tmp_path}/bus"


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "tcp:host=x", "nonsense", ""])
def test_a_bus_that_is_not_there_is_an_error(address):
    with pytest.raises(LaunchError, match="failed to connect to dbus"):
        Systemd(address)


def test_a_bus_that_does_not_answer_is_not_waited_for_without_end(tmp_path, monkeypatch):
    """It accepts the connection and says nothing."""
    monkeypatch.setattr(wire, "_CONNECT_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus"))
        silent.listen(1)
        with pytest.raises(LaunchError, match="failed to connect to dbus"):
            Systemd(f"unix:path={tmp_path}/bus")


def test_a_container_of_systemd_is_refused_in_time_where_none_runs(oci, bundle):
    if os.path.isdir("/run/systemd/system"):
        pytest.skip("systemd runs here")
    oci.flags = ("--systemd-cgroup",)
    name = oci.new_id()
    done = oci.try_create(bundle, name)
    assert done.exit_code != 0
    assert "systemd not running on this host" in done.stderr
    assert not (oci.root / name).exists()


def test_a_unit_that_cannot_be_stopped_costs_nothing_once_its_cgroup_is_gone(bus, monkeypatch):
    for location in _located("web"):
        with process() as child:
            setup.enter(setup.make(asked(location)), child.pid)
            with monkeypatch.context() as away:
                away.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
                with pytest.raises(LaunchError, match="failed to connect to dbus"):
                    remove(location)
            kill_all(location, signal.SIGKILL)
            child.wait()
        for directory in location.directories.values():
            os.rmdir(directory)
        with monkeypatch.context() as away:
            away.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            remove(location)


def test_a_container_of_run_gets_a_scope_of_the_users_systemd(bus, location):
    """Its limits are known to systemd and written, and nothing of it is left to be stopped."""
    mount = location.mounts[""]
    name = f"web{os.urandom(4).hex()}"
    depth = (("cgroup.max.depth", "5"),)
    spec = CgroupSpec(version=2, parent=f"{mount}/user.slice", settings=depth, scope=True)
    directory = Path(limits.directory_of(spec, name))
    limits.create(spec, name)
    assert not directory.exists()
    environment = {"DBUS_SESSION_BUS_ADDRESS": bus.address}
    with process() as child:
        try:
            limits.enter(spec, name, child.pid, environment=environment)
            started = bus.properties("StartTransientUnit")
            assert started["PIDs"] == [child.pid]
            assert started["Slice"] == "user.slice"
            assert started["Delegate"] is True
            assert started["CollectMode"] == "inactive-or-failed"
            assert bus.calls("StartTransientUnit")[0][0] == f"nestbox-{name}.scope"
            assert (directory / "cgroup.procs").read_text().split() == [str(child.pid)]
            assert (directory / "cgroup.max.depth").read_text().strip() == "5"
        finally:
            child.kill()
            child.wait()
            remove_directory(str(directory))
            with contextlib.suppress(OSError):
                directory.parent.rmdir()  # unless the machine has one of that name


def test_a_scope_without_a_bus_is_an_error_that_names_it():
    spec = CgroupSpec(version=2, parent="/nowhere/user.slice", settings=(), scope=True)
    environment = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere/bus"}
    with pytest.raises(LaunchError, match="dbus"):
        limits.enter(spec, "web", os.getpid(), environment=environment)
