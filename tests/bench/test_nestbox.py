"""The rows of nestbox: they run, with the rights and at least the mounts of the configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import bundle, filters, hierarchies, inside, launchers, programs, root
from bench.launchers import Launcher, Setting

pytestmark = pytest.mark.root


@pytest.fixture(name="rows", params=["none", "default"])
def _rows(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Launcher]:
    setting = Setting(
        work=tmp_path,
        root=root.build(tmp_path / "root"),
        restrictions=bundle.restrictions(),
        cgroups=hierarchies.here(),
        seccomp=filters.default() if request.param == "default" else None,
    )
    wanted = (launchers.FLOOR, launchers.PYTHON, launchers.COMMAND)
    found, absent = launchers.available(setting, lambda row: row in wanted)
    assert absent == []
    return {each.name: each for each in found}


@pytest.mark.parametrize("name", [launchers.PYTHON, launchers.COMMAND])
def test_a_row_is_timed_and_has_what_the_configuration_asks_for(
    rows: dict[str, Launcher], name: str, request: pytest.FixtureRequest
) -> None:
    assert rows[name].launch() > 0
    found = inside.parse(rows[name].look(inside.PROBE))
    outer = frozenset(os.readlink(f"/proc/self/ns/{kind}") for kind in inside.NAMESPACES)
    assert inside.shared_namespaces(found, outer) == []
    filtered = request.node.callspec.params["rows"] == "default"
    mask = bundle.capability_mask()
    assert inside.privilege_differences(found, capabilities=mask, filtered=filtered) == []
    least = inside.parse(rows[launchers.FLOOR].look(inside.PROBE)).mounts
    assert least.items() <= found.mounts.items()


@pytest.mark.parametrize("name", [launchers.PYTHON, launchers.COMMAND])
def test_the_peak_of_a_row_holds_an_interpreter(
    rows: dict[str, Launcher], name: str, tmp_path: Path
) -> None:
    meter = str(programs.build("gcc", "peak.c", tmp_path / "peak"))
    assert rows[launchers.FLOOR].peak_kib(meter) < 4096 < rows[name].peak_kib(meter)
