"""A report as metrics for the textfile collector of Prometheus' node exporter. Pure.

Source: Prometheus, "Exposition formats", text-based format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.doctor.layout import plain
from nestbox.doctor.report import Group, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nestbox.doctor.overview import Overview
    from nestbox.doctor.report import Report

_Sample = tuple[dict[str, str], int]

_STARTS: Final = {Verdict.OK: 2, Verdict.DEGRADED: 1, Verdict.MISSING: 0}


def render_prometheus(overview: Overview) -> str:
    """Return the metrics, each with its help and type, and a closing newline."""
    report = overview.report
    lines = [
        *_family("doctor_info", "What was examined, and by which nestbox.", [_info(report)]),
        *_family(
            "profile_starts",
            "Whether a shipped profile starts here: 2 as it is meant, 1 with less, 0 not.",
            _profiles(report),
        ),
        *_family("checks", "Checks of nestbox doctor by group and verdict.", _checks(report)),
    ]
    if overview.outlooks is not None:
        held = [
            ({"name": outlook.name, "set": name}, int(getattr(outlook.outer, name)))
            for outlook in overview.outlooks.capabilities
            if outlook.kernel
            for name in ("bounding", "permitted", "effective")
        ]
        lines += _family("capability", "Whether nestbox holds a capability, by set.", held)
    return "\n".join(lines) + "\n"


def _info(report: Report) -> _Sample:
    labels = {"version": report.nestbox, "fingerprint": report.fingerprint or ""}
    return {**labels, "place": plain(report.place)}, 1


def _profiles(report: Report) -> list[_Sample]:
    """Return the profiles of which it can be told whether they start."""
    return [
        ({"profile": check.subject}, _STARTS[check.verdict])
        for check in report.checks
        if check.group is Group.PROFILES and check.verdict in _STARTS
    ]


def _checks(report: Report) -> list[_Sample]:
    """Return a number for every pair, so that a finding that is gone is a 0 and not a gap."""
    found = [(check.group, check.verdict) for check in report.checks]
    return [
        ({"group": group.value, "verdict": verdict.value}, found.count((group, verdict)))
        for group in Group
        for verdict in Verdict
    ]


def _family(name: str, about: str, samples: Iterable[_Sample]) -> list[str]:
    lines = [f"# HELP nestbox_{name} {about}", f"# TYPE nestbox_{name} gauge"]
    for labels, value in samples:
        listed = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels.items())
        lines.append(f"nestbox_{name}{{{listed}}} {value}")
    return lines


def _quoted(text: str) -> str:
    """Return a label's value as the format wants it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
