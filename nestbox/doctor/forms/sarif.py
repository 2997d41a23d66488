"""A report as SARIF 2.1.0, for dashboards of findings. Pure.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from nestbox.doctor.layout import plain
from nestbox.doctor.report import Group, Verdict

if TYPE_CHECKING:
    from nestbox.doctor.report import Check, Report

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"

_LEVELS: Final = {Verdict.MISSING: "error", Verdict.UNKNOWN: "warning", Verdict.DEGRADED: "note"}
_ABOUT: Final = {
    Group.PROFILES: "Whether each shipped profile starts here",
    Group.CAPABILITIES: "Capabilities that can be given to a container",
    Group.NAMESPACES: "Namespaces that can be made, and the ids in a user namespace",
    Group.SECCOMP: "System calls that get through the outer seccomp filter",
    Group.CGROUPS: "Controllers that can enforce limits",
    Group.MOUNTS: "File systems of the kernel that can be mounted",
    Group.STORAGE: "What a root file system can be made from",
    Group.DEVICES: "Device nodes",
    Group.NETWORK: "Networks",
    Group.SECURITY: "Security modules and the rights of processes",
    Group.LIMITS: "Resource limits and kernel parameters",
    Group.ENGINE: "What the engine around us says",
    Group.PROGRAM: "What a program needs to be started",
}


def sarif_log(report: Report, artifact: str) -> dict[str, Any]:
    """Return the log: one run with one result for each check that is not well.

    ``artifact`` is a relative URI that stands for the environment in views that want a file.
    """
    groups = [group for group in Group if any(check.group is group for check in report.checks)]
    results = [
        _result(check, groups.index(check.group), artifact)
        for check in report.checks
        if check.verdict is not Verdict.OK
    ]
    properties = {"fingerprint": report.fingerprint or "", "place": plain(report.place)}
    run = {
        "tool": {
            "driver": {
                "name": "nestbox doctor",
                "semanticVersion": report.nestbox,
                "rules": [_rule(group) for group in groups],
            }
        },
        "results": results,
        "properties": properties,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(group: Group) -> dict[str, Any]:
    return {
        "id": f"nestbox/{group}",
        "name": group.value.capitalize(),
        "shortDescription": {"text": _ABOUT[group]},
    }


def _result(check: Check, rule: int, artifact: str) -> dict[str, Any]:
    parts = [f"{plain(check.subject)}: {plain(check.what)}."]
    for label, text in (("Because", check.cause), ("Seen", check.evidence), ("Try", check.remedy)):
        if text:
            parts.append(f"{label}: {plain(text)}.")
    identity = f"{check.group} {check.subject} {check.cause}"
    return {
        "ruleId": f"nestbox/{check.group}",
        "ruleIndex": rule,
        "level": _LEVELS[check.verdict],
        "message": {"text": " ".join(parts)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": artifact}},
                "logicalLocations": [
                    {"fullyQualifiedName": f"{check.group}/{plain(check.subject)}"}
                ],
            }
        ],
        # So that a finding of today is known to be the one of yesterday.
        "partialFingerprints": {
            "nestbox/v1": hashlib.sha256(plain(identity).encode()).hexdigest()[:32]
        },
        "properties": {
            "verdict": check.verdict.value,
            "lostAt": plain(check.lost_at),
            "affects": [plain(one) for one in check.affects],
        },
    }
