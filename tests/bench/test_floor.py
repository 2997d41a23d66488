"""The floor makes what it is said to make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import bundle, hierarchies, inside, launchers, process, programs, root
from bench.hierarchies import TOP, Hierarchy
from bench.launchers import Setting

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making namespaces and mounts needs root")


def _floor_with(work: Path, cgroups: tuple[Hierarchy, ...]) -> launchers.Launcher:
    setting = Setting(
        work=work,
        root=root.build(work / "root"),
        restrictions=bundle.restrictions(),
        cgroups=cgroups,
        seccomp=None,
    )
    found, absent = launchers.available(setting, lambda row: row == launchers.FLOOR)
    assert absent == []
    return found[0]


@pytest.fixture(name="floor")
def _floor(tmp_path: Path) -> launchers.Launcher:
    return _floor_with(tmp_path, hierarchies.here())


def test_the_floor_has_all_namespaces_and_every_mount_of_the_configuration(
    floor: launchers.Launcher,
) -> None:
    found = inside.parse(floor.look(inside.PROBE))
    outer = frozenset(os.readlink(f"/proc/self/ns/{kind}") for kind in inside.NAMESPACES)
    assert inside.shared_namespaces(found, outer) == []
    cgroups = hierarchies.here()
    config = bundle.config(
        Path("/"), ["true"], bundle.restrictions(), cgroups=cgroups, seccomp=None
    )
    expected = {"/", *(mount["destination"] for mount in config["mounts"])}
    expected |= {*config["linux"]["maskedPaths"], *config["linux"]["readonlyPaths"]}
    expected |= {each.path for each in cgroups}
    assert found.mounts.keys() == expected
    assert found.mounts["/sys"] == "sysfs ro"
    read_only = [*config["linux"]["readonlyPaths"], *(each.path for each in cgroups)]
    assert all(found.mounts[path].endswith("ro") for path in read_only)


def test_on_a_machine_with_version_2_alone_the_floor_has_one_hierarchy(tmp_path: Path) -> None:
    floor = _floor_with(tmp_path, (Hierarchy(path=TOP, controllers=""),))
    mounts = inside.parse(floor.look(inside.PROBE)).mounts
    assert {path: kind for path, kind in mounts.items() if path.startswith(TOP)} == {
        TOP: "cgroup2 ro"
    }


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
