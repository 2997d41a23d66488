"""The page of Markdown that a run writes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench import __main__, comparison, launchers, markdown
from bench.comparison import Comparison, Series
from bench.report import Machine, Results, Row, Table

ROWS = (
    Row(name="floor", version="built by gcc", seconds=[0.002], peak_kib=1024, differences=()),
    Row(
        name="python",
        version="nestbox 1.0",
        seconds=[0.003],
        peak_kib=20480,
        differences=("1 more mounts: /etc/hosts", "a | b"),
    ),
)
COMPARISONS = tuple(
    Comparison(
        kind=kind,
        seccomp="none",
        series=tuple(
            Series(case=case, runtime=runtime, seconds=[seconds])
            for runtime, seconds in (("nestbox-runtime", 0.02), ("runc", 0.01))
        ),
    )
    for kind, case in (("commands", "lifecycle"), ("parallel", "8 at once"), ("alive", "1 alive"))
)
RESULTS = Results(
    machine=Machine(
        cpu="some cpu",
        cpus=2,
        memory_bytes=3 << 29,
        kernel="6.1.0",
        system="Debian",
        python="3.11.2",
        load_1_minute=0.5,
    ),
    controllers_attached=("hugetlb",),
    absent=("bubblewrap is left out: bwrap is not on PATH",),
    tables=(Table(seccomp="none", rows=ROWS), Table(seccomp="default", rows=ROWS)),
    runtimes={"nestbox-runtime": "nestbox-runtime 1.0", "runc": "runc | 2.0"},
    comparisons=COMPARISONS,
)


def test_every_row_is_described() -> None:
    assert set(markdown.LAUNCHERS) == set(launchers.ROWS)


def test_the_page_names_machine_kernel_and_versions() -> None:
    page = markdown.page(RESULTS)
    assert "| processor | some cpu, 2 cpus |" in page
    assert "| memory | 1.5 GiB |" in page
    assert "| kernel | Linux 6.1.0 |" in page
    assert f"| python | {markdown.LAUNCHERS['python']} | nestbox 1.0 |" in page
    assert "controllers (hugetlb) were mounted" in page
    assert "- bubblewrap is left out: bwrap is not on PATH" in page


def test_each_table_has_its_figures_targets_and_differences() -> None:
    plain, filtered, *_ = markdown.page(RESULTS).split("## Without seccomp")[1].split("\n## ")
    assert filtered.startswith("With nestbox's seccomp profile\n")
    for section in (plain, filtered):
        assert "\n| python | 3.00 | 3.00 | 3.00 | 3.00 | 1.50 | - | - | 20.0 |\n" in section
        assert "\n- nestbox.run at most 1.6 x the floor (built by gcc): 1.500, met\n" in section
        assert "\n- python: 1 more mounts: /etc/hosts; a | b\n" in section


def test_a_machine_that_needed_no_change_and_lacks_nothing_says_nothing_of_it() -> None:
    page = markdown.page(msgspec.structs.replace(RESULTS, controllers_attached=(), absent=()))
    assert "version 1" not in page
    assert "left out" not in page


def test_every_comparison_of_runtimes_has_its_section_and_the_commands_their_target() -> None:
    assert set(markdown.COMPARISONS) == set(comparison.KINDS)
    page = markdown.page(RESULTS)
    assert "| nestbox-runtime | nestbox-runtime 1.0 |" in page
    for heading, row in (
        ("Commands", "| lifecycle | nestbox-runtime | 20.00 | 20.00 | 20.00 | 20.00 | - | 2.00 |"),
        ("Launchers at once", "| 8 at once | runc | 10.00 | 10.00 | 10.00 | 10.00 | - | 1.00 |"),
        ("Beside other containers", "| 1 alive | runc | 10.00 | 10.00 | 10.00 | 10.00 | 1.00 |"),
    ):
        section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        assert "Without seccomp, 1 times each:" in section
        assert row in section
        assert ("x runc's (runc | 2.0): 2.000, met" in section) is (heading == "Commands")


def test_without_a_comparison_the_page_says_nothing_of_engines() -> None:
    page = markdown.page(msgspec.structs.replace(RESULTS, comparisons=()))
    assert "engines" not in page


def test_a_priority_of_its_own_is_told() -> None:
    assert "| load before the run | 0.50 |" in markdown.page(RESULTS)
    eager = msgspec.structs.replace(RESULTS.machine, niceness=-5)
    page = markdown.page(msgspec.structs.replace(RESULTS, machine=eager))
    assert "| load before the run | 0.50; every launcher at niceness -5 |" in page


def test_a_bar_within_a_cell_ends_no_cell() -> None:
    floor = msgspec.structs.replace(ROWS[0], version="a | b")
    page = markdown.page(
        msgspec.structs.replace(RESULTS, tables=(Table(seccomp="none", rows=(floor,)),))
    )
    assert r"| a \| b |" in page


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        __main__.main(["--markdown", str(tmp_path / "absent" / "page.md")])
    assert "cannot be written: No such file" in capsys.readouterr().err
