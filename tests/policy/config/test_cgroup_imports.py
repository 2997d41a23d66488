"""What acts on cgroups loads: the commands that engines call most stand on it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded(*modules: str) -> set[str]:
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["files", "tree", "freezer", "processes", "removal"])
def test_killing_freezing_and_removing_load_next_to_nothing(name):
    found = loaded(f"nestbox.runtime.cgroup.{name}")
    assert not found & {"msgspec", "typing", "re", "contextlib", "enum", "collections", "socket"}


def test_creating_loads_nothing_of_statistics_systemd_and_programs():
    found = loaded(
        "nestbox.runtime.cgroup.setup",
        "nestbox.runtime.cgroup.devices",
        "nestbox.policy.config.cgroup_settings",
    )
    for name in ("statistics", "stats", "systemd", "bus", "wire", "update", "oom", "unified"):
        assert f"nestbox.runtime.cgroup.{name}" not in found
    for name in ("cgroup_bpf", "cgroup_properties", "cgroup_variant", "cgroup_update"):
        assert f"nestbox.policy.config.{name}" not in found
    assert not found & {"jeepney", "socket", "nestbox.kernel.syscalls"}


def test_systemd_loads_no_event_loop():
    found = loaded("nestbox.runtime.cgroup.systemd", "jeepney", "jeepney.wrappers", "jeepney.bus")
    assert "asyncio" not in found
