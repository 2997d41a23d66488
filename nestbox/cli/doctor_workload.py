"""`nestbox doctor --for` and `--remedy`: will a workload run here, and what is the least change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestbox.cli.command import Option

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment

# As in nestbox.doctor.remedies, which is loaded when it is needed; a test holds them together.
LAYERS = (
    "docker", "podman", "nestbox", "compose", "kubernetes", "arc", "gitlab", "systemd", "talos",
    "lxc",
)  # fmt: skip


def workload_options() -> list[Option]:
    """Return the options about workloads."""
    return [
        Option(
            ["--for", "workload"],
            metavar="WORKLOAD",
            help="Say instead whether WORKLOAD runs here, in which mode, and the least outer "
            "rights that suffice: one that is shipped (dockerd, buildkit-rootless, podman, k3s, "
            "wireguard, chrome, ...; a wrong name lists them), or a file.",
        ),
        Option(
            ["--remedy", "layer"],
            type=click.Choice(LAYERS),
            metavar="LAYER",
            help="With --for, write the change for this layer, not for the one around us: "
            f"{', '.join(LAYERS)}.",
        ),
    ]


def judge_here(name: str, layer: str | None, environment: OuterEnvironment, output: str) -> bool:
    """Print whether a workload runs here, and return it.

    Raises:
        NestboxError: there is no such workload, or too little was observed.
    """
    from nestbox.cli.output import say_json
    from nestbox.cli.page import page, show
    from nestbox.doctor.rehearsal import observed
    from nestbox.doctor.workloads.judge import SUBJECTS, judge_workload
    from nestbox.doctor.workloads.render import render_verdict
    from nestbox.doctor.workloads.workload import find_workload
    from nestbox.errors import UsageError

    workload = find_workload(name)
    missing = SUBJECTS - observed(environment)
    if missing:
        raise UsageError(
            f"cannot tell whether {name} runs there",
            cause=f"not observed: {', '.join(sorted(missing))}",
            remedy="record the environment again: nestbox doctor --record FILE",
        )
    verdict = judge_workload(workload, environment, layer)
    if output == "json":
        say_json(verdict)
    else:
        show(render_verdict(verdict, page()))
    return verdict.works
