"""The table, the verdicts on the targets, and the JSON document."""

from __future__ import annotations

import json

import msgspec
import pytest

from bench import report
from bench.comparison import Comparison, Series
from bench.report import Machine, Results, Row, Table


def row(name: str, *milliseconds: float, peak_kib: int | None = None) -> Row:
    return Row(
        name=name,
        version=f"{name} 1.0",
        seconds=[each / 1000 for each in milliseconds],
        peak_kib=peak_kib,
        differences=(),
    )


def results(*rows: Row) -> Results:
    return Results(
        machine=Machine(
            cpu="some cpu",
            cpus=2,
            memory_bytes=1 << 30,
            kernel="6.1.0",
            system="Debian",
            python="3.11.2",
            load_1_minute=0.5,
        ),
        controllers_attached=("hugetlb",),
        absent=("bubblewrap is left out: bwrap is not on PATH",),
        tables=(Table(seccomp="none", rows=rows),),
        runtimes={},
        comparisons=(),
    )


def test_the_grid_holds_times_in_milliseconds_and_ratios_of_medians() -> None:
    rows = [row("floor", 1, 2, 3, peak_kib=1024), row("crun", 10, 20, 30)]
    head, floor, crun = report.grid(report.cells(rows))
    assert head.split() == "median p10 p90 min x floor x crun x runc peak MiB".split()
    assert floor.split() == ["floor", "2.00", "1.00", "3.00", "1.00", "1.00", "0.10", "-", "1.0"]
    assert crun.split() == ["crun", "20.00", "10.00", "30.00", "10.00", "10.00", "1.00", "-", "-"]


@pytest.mark.parametrize(("python", "verdict"), [(3.5, "0.350, met"), (3.51, "0.351, missed")])
def test_a_target_is_met_up_to_its_ratio_and_says_of_which_version(
    python: float, verdict: str
) -> None:
    line = report.verdicts([row("python", python), row("crun", 10)])[0]
    assert line == f"nestbox.run at most 0.35 x `crun run` (crun 1.0): {verdict}"


def test_a_target_without_its_peer_or_without_nestbox_is_not_judged() -> None:
    assert report.verdicts([row("python", 3), row("runc", 5)]) == [
        "nestbox.run at most 0.35 x `crun run`: not measured",
        "nestbox.run at most 1.6 x the floor: not measured",
        "`nestbox run` at most 2.0 x `runc run` (runc 1.0): not measured",
    ]


def test_the_targets_of_each_table_are_printed_last() -> None:
    rows = (row("floor", 2), row("python", 3), row("crun", 10), row("command", 9), row("runc", 5))
    last = list(report.lines(results(*rows)))[-4:]
    assert last == ["targets without seccomp", *report.verdicts(rows)]


def test_what_is_left_out_is_printed() -> None:
    lines = list(report.lines(results(row("floor", 2))))
    assert "bubblewrap is left out: bwrap is not on PATH" in lines


def test_the_document_keeps_every_sample_and_its_summary() -> None:
    document = json.loads(report.document(results(row("floor", 1, 2, 3, peak_kib=1024))))
    assert document["machine"]["kernel"] == "6.1.0"
    assert document["controllers_attached"] == ["hugetlb"]
    (entry,) = document["tables"][0]["rows"]
    assert entry["seconds"] == [0.001, 0.002, 0.003]
    assert entry["version"] == "floor 1.0"
    assert entry["peak_kib"] == 1024
    assert entry["median_ms"] == pytest.approx(2.0)


def test_the_document_keeps_the_samples_of_the_runtimes_too() -> None:
    series = Series(case="create", runtime="runc", seconds=[0.002, 0.001])
    compared = Comparison(kind="commands", seccomp="none", series=(series,))
    everything = msgspec.structs.replace(results(row("floor", 1)), comparisons=(compared,))
    (entry,) = json.loads(report.document(everything))["comparisons"]
    assert entry["series"][0]["seconds"] == [0.002, 0.001]
    assert entry["series"][0]["median_ms"] == pytest.approx(1.5)
    assert "commands without seccomp, milliseconds" in list(report.lines(everything))
