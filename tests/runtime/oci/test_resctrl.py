"""Classes and monitoring groups, on directories with the files that the kernel would make.

What only the kernel does is not shown here: that it takes a schema, and that it moves a process.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from nestbox.errors import LaunchError
from nestbox.oci.linux import LinuxIntelRdt
from nestbox.runtime.oci.resctrl import (
    Group,
    check_enabled,
    enter,
    find_root,
    group_of,
    kept,
    prepare,
    remove,
    required_group,
    statistics,
    update,
)

SCHEMATA = "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_class(path: Path, schemata: str = SCHEMATA) -> None:
    (path / "mon_groups").mkdir(parents=True, exist_ok=True)
    (path / "tasks").touch()
    write(path / "schemata", schemata)
    for number in range(2):
        domain = path / "mon_data" / f"mon_L3_0{number}"
        write(domain / "llc_occupancy", f"{1000 + number}\n")
        write(domain / "mbm_total_bytes", f"{2000 + number}\n")
        write(domain / "mbm_local_bytes", f"{3000 + number}\n")


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    make_class(tmp_path)
    write(tmp_path / "info/L3/cbm_mask", "fffff\n")
    write(tmp_path / "info/L3/min_cbm_bits", "1\n")
    write(tmp_path / "info/L3/num_closids", "16\n")
    for name, value in {
        "bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8
    }.items():  # fmt: skip
        write(tmp_path / "info/MB" / name, f"{value}\n")
    write(
        tmp_path / "info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"
    )
    write(tmp_path / "info/last_cmd_status", "invalid mask\n")
    return tmp_path


def group(rdt: LinuxIntelRdt, root: Path) -> Group:
    return group_of(rdt, "ctr", str(root))


@pytest.mark.parametrize(
    ("rdt", "path", "monitoring", "removed"),
    [
        (LinuxIntelRdt(), "/ctr", "", "/ctr"),
        (LinuxIntelRdt(clos_id="fast"), "/fast", "", ""),
        (LinuxIntelRdt(clos_id="/"), "", "", ""),
        (LinuxIntelRdt(enable_monitoring=True), "/ctr", "/ctr/mon_groups/ctr", "/ctr"),
        (
            LinuxIntelRdt(clos_id="fast", enable_monitoring=True),
            "/fast",
            "/fast/mon_groups/ctr",
            "/fast/mon_groups/ctr",
        ),
        (
            LinuxIntelRdt(clos_id="/", enable_monitoring=True),
            "",
            "/mon_groups/ctr",
            "/mon_groups/ctr",
        ),
    ],
)
def test_where_a_container_belongs(
    root: Path, rdt: LinuxIntelRdt, path: str, monitoring: str, removed: str
) -> None:
    found = group(rdt, root)
    assert found.path == f"{root}{path}"
    assert found.monitoring == (f"{root}{monitoring}" if monitoring else "")
    assert kept(found) == (f"{root}{removed}" if removed else "")


def test_a_class_that_was_there_stays(root: Path) -> None:
    make_class(root / "ctr")
    assert kept(group(LinuxIntelRdt(), root)) == ""


def test_a_class_must_be_there_when_its_shares_are_not_told(root: Path) -> None:
    rdt = LinuxIntelRdt(clos_id="fast")
    with pytest.raises(LaunchError, match="clos dir not accessible"):
        prepare(group(rdt, root), rdt)
    assert not (root / "fast").exists()
    make_class(root / "fast", "as it was\n")
    prepare(group(rdt, root), rdt)
    assert (root / "fast/schemata").read_text() == "as it was\n"


def test_shares_are_written_in_the_order_of_the_specification(root: Path) -> None:
    rdt = LinuxIntelRdt(
        l3_cache_schema="L3:0=f;1=f0", mem_bw_schema="MB:0=20;1=70", schemata=("L2:0=f", "L3:0=3")
    )
    make_class(root / "ctr", "")
    prepare(group(rdt, root), rdt)
    assert (root / "ctr/schemata").read_text() == "L3:0=f;1=f0\nMB:0=20;1=70\nL2:0=f\nL3:0=3\n"


def test_shares_that_a_class_has_already_may_be_written_otherwise(root: Path) -> None:
    make_class(root / "fast", "L3:00=0000f;01=000f0\nMB:0= 20;1= 70\n")
    rdt = LinuxIntelRdt(clos_id="fast", l3_cache_schema="L3:1=F0;0=f", mem_bw_schema="MB:0=20")
    prepare(group(rdt, root), rdt)


def test_other_shares_of_a_class_that_is_there_are_refused(root: Path) -> None:
    make_class(root / "fast", "L3:0=f;1=f\n")
    rdt = LinuxIntelRdt(clos_id="fast", l3_cache_schema="L3:0=f;1=f0")
    with pytest.raises(LaunchError, match="other shares of L3:1"):
        prepare(group(rdt, root), rdt)
    assert (root / "fast/schemata").read_text() == "L3:0=f;1=f\n"


def test_what_was_made_goes_when_the_kernel_refuses(root: Path) -> None:
    # A plain directory has no file schemata: writing fails as on a kernel that says no.
    rdt = LinuxIntelRdt(l3_cache_schema="L3:0=0")
    with pytest.raises(LaunchError, match="last_cmd_status: invalid mask"):
        prepare(group(rdt, root), rdt)
    assert not (root / "ctr").exists()


@pytest.mark.parametrize(
    ("resource", "rdt"),
    [
        ("L3", LinuxIntelRdt(l3_cache_schema="L3:0=f")),
        ("MB", LinuxIntelRdt(mem_bw_schema="MB:0=20")),
    ],
)
def test_what_the_machine_does_not_control_is_refused(
    root: Path, resource: str, rdt: LinuxIntelRdt
) -> None:
    check_enabled(rdt, str(root))
    (root / "info" / resource).rename(root / "info" / f"{resource}CODE")
    check_enabled(rdt, str(root))
    (root / "info" / f"{resource}CODE").rename(root / "gone")
    with pytest.raises(LaunchError, match="is not enabled"):
        check_enabled(rdt, str(root))


def test_a_process_goes_into_class_and_monitoring_group(root: Path) -> None:
    rdt = LinuxIntelRdt(clos_id="fast", enable_monitoring=True)
    make_class(root / "fast")
    prepare(group(rdt, root), rdt)
    (root / "fast/mon_groups/ctr/tasks").touch()
    enter(group(rdt, root), 42)
    assert (root / "fast/tasks").read_text() == "42"
    assert (root / "fast/mon_groups/ctr/tasks").read_text() == "42"


def test_an_update_writes_what_is_given(root: Path) -> None:
    make_class(root / "ctr", "")
    update(str(root / "ctr"), "L3:0=3", "")
    assert (root / "ctr/schemata").read_text() == "L3:0=3\n"
    update(str(root / "ctr"), "", "")
    with pytest.raises(LaunchError, match="last_cmd_status: invalid mask"):
        update(str(root / "gone"), "", "MB:0=1")


def test_what_was_ours_is_removed_once(root: Path) -> None:
    (root / "ctr").mkdir()
    remove(str(root / "ctr"))
    assert not (root / "ctr").exists()
    remove(str(root / "ctr"))
    with pytest.raises(LaunchError, match="directory not empty"):
        remove(str(root))


def test_statistics_have_the_names_of_runc(root: Path) -> None:
    make_class(root / "ctr", "    L3:0=f;1=f\n    MB:0=20;1=70\n")
    assert statistics(str(root / "ctr"), str(root)) == {
        "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
        "l3_cache_schema": "L3:0=f;1=f",
        "l3_cache_schema_root": "L3:0=fffff;1=fffff",
        "mem_bw_info": {
            "bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8
        },
        "mem_bw_schema": "MB:0=20;1=70",
        "mem_bw_schema_root": "MB:0=100;1=100",
        "schemata": ["L3:0=f;1=f", "MB:0=20;1=70"],
        "cmt_stats": [{"llc_occupancy": 1000}, {"llc_occupancy": 1001}],
        "mbm_stats": [
            {"mbm_total_bytes": 2000, "mbm_local_bytes": 3000},
            {"mbm_total_bytes": 2001, "mbm_local_bytes": 3001},
        ],
    }  # fmt: skip


@pytest.mark.parametrize("named", ["ctr", "fast/mon_groups/ctr"])
def test_use_is_that_of_the_monitoring_group(root: Path, named: str) -> None:
    make_class(root / "fast", "L3:0=3\n")
    make_class(root / "ctr", "L3:0=3\n")
    for path in ("ctr", "fast"):
        domain = root / path / "mon_groups/ctr/mon_data/mon_L3_00"
        for name in ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"):
            write(domain / name, "7\n")
    found = statistics(str(root / named), str(root))
    assert found["cmt_stats"] == [{"llc_occupancy": 7}]
    assert found["schemata"] == ["L3:0=3"]


def test_a_machine_that_counts_nothing_has_no_counts(root: Path) -> None:
    (root / "info/L3_MON/mon_features").unlink()
    assert not {"cmt_stats", "mbm_stats"} & set(statistics(str(root), str(root)))


@pytest.mark.skipif(find_root() is not None, reason="this machine has resctrl mounted")
def test_without_resctrl_the_configuration_is_refused() -> None:
    with pytest.raises(LaunchError, match="Intel RDT is not enabled"):
        required_group(LinuxIntelRdt(), "ctr")
