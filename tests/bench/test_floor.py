"""The floor makes what it is said to make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import bundle, inside, launchers, process, programs, root
from bench.launchers import Setting

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making namespaces and mounts needs root")


@pytest.fixture(name="floor")
def _floor(tmp_path: Path) -> launchers.Launcher:
    setting = Setting(
        work=tmp_path,
        root=root.build(tmp_path / "root"),
        restrictions=bundle.restrictions(),
        seccomp=None,
    )
    found, absent = launchers.available(setting, lambda row: row == launchers.FLOOR)
    assert absent == []
    return found[0]


def test_the_floor_has_all_namespaces_and_every_mount_of_the_configuration(
    floor: launchers.Launcher,
) -> None:
    found = inside.parse(floor.look(inside.PROBE))
    outer = frozenset(os.readlink(f"/proc/self/ns/{kind}") for kind in inside.NAMESPACES)
    assert inside.shared_namespaces(found, outer) == []
    config = bundle.config(Path("/"), ["true"], bundle.restrictions(), None)
    expected = {"/", *(mount["destination"] for mount in config["mounts"])}
    expected |= {*config["linux"]["maskedPaths"], *config["linux"]["readonlyPaths"]}
    assert found.mounts.keys() == expected
    assert found.mounts["/sys"] == "sysfs ro"
    assert all(found.mounts[path].endswith("ro") for path in config["linux"]["readonlyPaths"])


def test_the_floor_passes_the_status_on(floor: launchers.Launcher) -> None:
    assert floor.launch() > 0
    with pytest.raises(process.LaunchFailedError, match="status 3"):
        floor.look(["/bin/sh", "-c", "exit 3"])


def test_a_program_that_the_root_lacks_fails_the_launch(floor: launchers.Launcher) -> None:
    with pytest.raises(process.LaunchFailedError, match="exec: No such file"):
        floor.look(["/bin/absent"])


def test_the_meter_reports_the_peak_of_the_program_not_of_the_caller(tmp_path: Path) -> None:
    meter = programs.build("gcc", "peak.c", tmp_path / "peak")
    small = int(process.run([str(meter), "/bin/true"]).stdout)
    assert 100 < small < 8000
