"""The table of the runtimes' commands, and the verdict on the lifecycle."""

from __future__ import annotations

import pytest

from bench import comparison
from bench.comparison import ALIVE, COMMANDS, LIFECYCLE, Comparison, Series


def compared(kind: str, *series: tuple[str, str, float]) -> Comparison:
    return Comparison(
        kind=kind,
        seccomp="none",
        series=tuple(
            Series(case=case, runtime=runtime, seconds=[milliseconds / 1000])
            for case, runtime, milliseconds in series
        ),
    )


def test_each_row_is_compared_with_the_same_command_of_the_peers() -> None:
    head, *rows = comparison.cells(
        compared(
            COMMANDS,
            ("create", "nestbox-runtime", 30),
            ("create", "runc", 20),
            ("start", "nestbox-runtime", 8),
            ("start", "crun", 4),
        )
    )
    assert head == ("", "runtime", "median", "p10", "p90", "min", "x crun", "x runc")
    assert [row[-2:] for row in rows] == [
        ("-", "1.50"),
        ("-", "1.00"),
        ("2.00", "-"),
        ("1.00", "-"),
    ]
    assert rows[0][:6] == ("create", "nestbox-runtime", "30.00", "30.00", "30.00", "30.00")


def test_with_containers_alive_a_runtime_is_compared_with_itself_too() -> None:
    head, *rows = comparison.cells(
        compared(
            ALIVE,
            ("1 alive", "nestbox-runtime", 20),
            ("1 alive", "runc", 10),
            ("100 alive", "nestbox-runtime", 25),
            ("100 alive", "runc", 20),
        )
    )
    assert head[6:] == ("x fewest", "x crun", "x runc")
    assert [row[6:] for row in rows] == [
        ("1.00", "-", "2.00"),
        ("1.00", "-", "1.00"),
        ("1.25", "-", "1.25"),
        ("2.00", "-", "1.00"),
    ]


@pytest.mark.parametrize(("ours", "verdict"), [(25.0, "2.500, met"), (25.1, "2.510, missed")])
def test_the_lifecycle_is_judged_against_that_of_runc(ours: float, verdict: str) -> None:
    found = compared(COMMANDS, (LIFECYCLE, "nestbox-runtime", ours), (LIFECYCLE, "runc", 10))
    assert comparison.verdict(found, {"runc": "runc 1"}).endswith(f"x runc's (runc 1): {verdict}")


def test_without_runc_the_lifecycle_is_not_judged() -> None:
    found = compared(COMMANDS, (LIFECYCLE, "nestbox-runtime", 10))
    assert comparison.verdict(found, {}).endswith("x runc's: not measured")
