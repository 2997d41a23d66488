"""Whether a program can run in a container here, and what its file takes or gives. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.doctor.report import Check, Group, Verdict
from nestbox.kernel.capabilities import names_in
from nestbox.policy.prediction import missing_for_exec, predict_after_exec

if TYPE_CHECKING:
    from nestbox.outer.facts import Program
    from nestbox.outer.linkage import Linkage
    from nestbox.policy.resolution import Resolution

SCHEMA: Final = 1  # of the JSON form
_USUAL_ROOT: Final = 0
_MANY: Final = 20  # capabilities that are not listed one by one


class ProgramReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that ``nestbox doctor -- COMMAND`` says."""

    schema: int = SCHEMA
    path: str
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether it would run under every profile that was asked for."""
        return all(check.verdict is not Verdict.MISSING for check in self.checks)


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """One profile under which the program would be started."""

    profile: str
    resolution: Resolution
    no_new_privs: bool


def examine_program(
    program: Program | None,
    linkage: Linkage | None,
    prospects: tuple[Prospect, ...],
    *,
    machine: str,
    name: str,
) -> ProgramReport:
    """Return what is to be said of a program; None is one that was not found."""
    if program is None:
        absent = Check(
            group=Group.PROGRAM,
            subject=name,
            verdict=Verdict.MISSING,
            what="is not there, or nobody may execute it",
            cause="no such file in the directories of PATH",
            remedy="name it by its path, or give -e PATH=… to the container",
        )
        return ProgramReport(path=name, checks=(absent,))
    checks = [*(_linked(linkage, machine) if linkage else ()), *_rights(program)]
    checks += [_under(prospect, program) for prospect in prospects]
    return ProgramReport(path=program.path, checks=tuple(checks))


def _check(subject: str, verdict: Verdict, what: str, cause: str = "", remedy: str = "") -> Check:
    return Check(
        group=Group.PROGRAM,
        subject=subject,
        verdict=verdict,
        what=what,
        cause=cause,
        remedy=remedy,
    )


def _linked(linkage: Linkage, machine: str) -> list[Check]:
    """Return what the kernel and the loader need to start it."""
    checks = []
    if linkage.absent:
        cause = f"it asks for {linkage.absent}, which is not there"
        cure = "install what has it; the kernel says 'no such file' of the program itself"
        checks.append(_check("interpreter", Verdict.MISSING, "is not there", cause, cure))
    elif linkage.kind == "other":
        what = "neither ELF nor a script"
        checks.append(_check("format", Verdict.DEGRADED, what, "the kernel may not know it", "-"))
    else:
        chain = (*linkage.scripts, linkage.interpreter or "none: it is static")
        checks.append(_check("interpreter", Verdict.OK, " then ".join(chain)))
    if linkage.machine and not _runs_on(linkage.machine, machine):
        cause = f"it is for {linkage.machine}, and this is {machine}"
        cure = f"use the program for {machine}, or register qemu-user in binfmt_misc"
        checks.append(_check("machine", Verdict.DEGRADED, "is another one", cause, cure))
    if linkage.missing:
        cause = f"not found: {', '.join(linkage.missing)}"
        cure = "install what has them, or set LD_LIBRARY_PATH"
        checks.append(_check("libraries", Verdict.MISSING, "are not all there", cause, cure))
    elif linkage.libraries:
        checks.append(_check("libraries", Verdict.OK, f"all {len(linkage.libraries)} are there"))
    return checks


def _runs_on(wanted: str, machine: str) -> bool:
    return wanted == machine or (wanted == "i686" and machine == "x86_64")


def _rights(program: Program) -> list[Check]:
    """Return what the file itself gives to whoever executes it."""
    parts = []
    if program.setuid is not None:
        parts.append(f"set-user-ID {program.setuid}")
    if program.setgid is not None:
        parts.append(f"set-group-ID {program.setgid}")
    for label, mask in (
        ("permitted", program.file_permitted),
        ("inheritable", program.file_inheritable),
    ):
        if mask:
            parts.append(f"file capabilities {label} {', '.join(names_in(mask))}")
    if parts and program.file_effective:
        parts.append("effective at once, so that its exec fails where one of them is missing")
    return [_check("file", Verdict.OK, "; ".join(parts) or "gives no rights of its own")]


def _under(prospect: Prospect, program: Program) -> Check:
    """Return whether it would run under one profile, and with what."""
    subject = f"profile {prospect.profile}"
    resolution = prospect.resolution
    if resolution.launch is None:
        cause = "; ".join(
            dict.fromkeys(
                (
                    *(one.cause for one in resolution.refused),
                    *(one.detail for one in resolution.capabilities.problems),
                )
            )
        )
        return _check(
            subject, Verdict.MISSING, "does not start", cause, "nestbox doctor says what to change"
        )
    before = resolution.capabilities.sets
    missing = missing_for_exec(before, program)
    if missing:
        names = names_in(missing)
        flags = " ".join(f"--cap-add {name.removeprefix('CAP_')}" for name in names)
        cause = f"its file has {', '.join(names)}, which the container's bounding set has not"
        cure = f"give {flags}, or take the attribute from the file (setcap -r)"
        return _check(subject, Verdict.MISSING, "its exec fails with EPERM", cause, cure)
    after = predict_after_exec(
        before,
        uid=_USUAL_ROOT,
        program=program,
        securebits=0,
        no_new_privs=prospect.no_new_privs,
    )
    held = names_in(after.effective)
    short = ", ".join(name.removeprefix("CAP_") for name in held)
    if len(held) > _MANY:
        short = f"{len(held)} capabilities"
    void = prospect.no_new_privs and (program.setuid is not None or program.file_permitted)
    note = "; no_new_privs makes what its file gives void" if void else ""
    return _check(subject, Verdict.OK, f"runs as root with {short or 'no capability'}{note}")
