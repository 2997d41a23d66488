"""A profile as a requirement: what it asks for is there in full, or the report says it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.doctor.report import Group, Verdict
from nestbox.doctor.shipped import Shipped
from nestbox.runtime.seccomp import read_named

if TYPE_CHECKING:
    from nestbox.doctor.overview import Overview
    from nestbox.doctor.report import Check
    from nestbox.policy.profile import Profile


def measure_by(profile: Profile) -> Shipped:
    """Return what doctor is to measure by: this profile alone, and the filter that it names.

    Raises:
        UsageError: the filter cannot be read.
    """
    wanted = profile.seccomp.want
    named = read_named(wanted)
    return Shipped(profiles=(profile,), filters={} if named is None else {wanted: named})


def strictly(seen: Overview) -> Overview:
    """Return the overview where all that the profile would get less of is missing."""
    names = {check.subject for check in seen.report.checks if check.group is Group.PROFILES}
    report = msgspec.structs.replace(
        seen.report, checks=tuple(_strict(check, names) for check in seen.report.checks)
    )
    return msgspec.structs.replace(seen, report=report)


def _strict(check: Check, names: set[str]) -> Check:
    """Return a check whose weaker verdict is a missing one, where the profile suffers from it."""
    suffers = check.group is Group.PROFILES or any(
        name in asker for asker in check.affects for name in names
    )
    if check.verdict is Verdict.DEGRADED and suffers:
        return msgspec.structs.replace(check, verdict=Verdict.MISSING)
    return check
