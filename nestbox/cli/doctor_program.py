"""`nestbox doctor -- COMMAND`: whether a program can run in a container here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestbox.doctor.program import ProgramReport, Prospect
    from nestbox.outer.facts import Program
    from nestbox.outer.linkage import Linkage
    from nestbox.runtime.context import Context

_PROFILES = ("privileged", "default", "minimal")


def examine_command(command: tuple[str, ...], context: Context, output: str) -> bool:
    """Print what is to be said of a program, and return whether every profile can run it.

    Raises:
        NestboxError: the environment cannot be observed.
    """
    from nestbox.cli.output import say_json
    from nestbox.cli.page import page, show
    from nestbox.doctor.program import examine_program
    from nestbox.doctor.render import render_checks

    prospects = []
    program: Program | None = None
    for name in _PROFILES:
        prospect, program = _prospect(name, command, context)
        prospects.append(prospect)
    linkage = None if program is None else _linkage(program, context)
    report: ProgramReport = examine_program(
        program, linkage, tuple(prospects), machine=os.uname().machine, name=command[0]
    )
    if output == "json":
        say_json(report)
    else:
        show(f"{report.path}\n\n" + render_checks(report.checks, page()))
    return report.healthy


def _prospect(
    profile: str, command: tuple[str, ...], context: Context
) -> tuple[Prospect, Program | None]:
    from nestbox.doctor.program import Prospect
    from nestbox.doctor.rehearsal import plain_request
    from nestbox.runtime.prepare import prepare

    request = plain_request(profile)
    path = context.environment.get("PATH")
    variables = (f"PATH={path}",) if path else ()
    request = type(request)(
        argv=command,
        root=request.root,
        privileged=request.privileged,
        profile=request.profile,
        environment=variables,
        working_directory=context.directory,
    )
    prepared = prepare(request, context)
    prospect = Prospect(
        profile=profile,
        resolution=prepared.resolution,
        no_new_privs=prepared.profile.no_new_privs,
    )
    return prospect, prepared.root.program


def _linkage(program: Program, context: Context) -> Linkage | None:
    """Return what the program is linked with; None when it cannot be read."""
    from nestbox.outer.linkage import observe_linkage

    try:
        return observe_linkage(
            os.path.join("/", program.path), context.environment.get("LD_LIBRARY_PATH", "")
        )
    except OSError:
        return None
