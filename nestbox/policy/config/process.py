"""The program of a container or of an exec: everything about it but its capabilities. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.policy.config.identity import Ids, decide_groups
from nestbox.policy.config.labels import decide_labels
from nestbox.policy.config.limits import decide_oom_score, decide_rlimits
from nestbox.policy.config.places import inside
from nestbox.policy.config.scheduling import io_priority_of, scheduler_of
from nestbox.policy.config.variables import program_candidates, variables_of
from nestbox.policy.launch_spec import ProcessSpec

if TYPE_CHECKING:
    from nestbox.oci.process import ConsoleSize, Process
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.config.limits import Wisher
    from nestbox.policy.config.options import LaunchOptions
    from nestbox.policy.decision import Decision

__all__ = ["ProgramSetting", "decide_process", "program_candidates"]

_UMASK: Final = 0o022


class ProgramSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What a program's values are judged against."""

    options: LaunchOptions
    environment: OuterEnvironment
    ids: Ids
    passwd: str | None  # text of the container's passwd file


def decide_process(
    process: Process, setting: ProgramSetting, wisher: Wisher
) -> tuple[ProcessSpec, tuple[Decision, ...]]:
    """Return the program and the decisions about it.

    Raises:
        UsageError: a value cannot be had here, and is not one that may be weaker.
    """
    environment, options = setting.environment, setting.options
    labels, label_decisions = decide_labels(process, environment, wisher)
    groups, group_decisions = decide_groups(process.user, setting.ids, environment, wisher)
    rlimits, limit_decisions = decide_rlimits(process, environment, wisher)
    score, score_decisions = decide_oom_score(process, environment, wisher)
    umask = process.user.umask
    spec = ProcessSpec(
        argv=process.args,
        candidates=program_candidates(process, options),
        environment=variables_of(process, options, setting.passwd),
        working_directory=inside(process.cwd),
        uid=process.user.uid,
        gid=process.user.gid,
        groups=groups,
        umask=_UMASK if umask is None else umask,
        terminal=process.terminal,
        console_size=_console_size(process.console_size) if process.terminal else None,
        rlimits=rlimits,
        oom_score_adj=score,
        no_new_privs=process.no_new_privileges,
        own_streams=True,
        preserved=options.listen_fds + options.preserve_fds,
        scheduler=scheduler_of(process.scheduler),
        io_priority=io_priority_of(process.io_priority),
        affinity=(),  # whoever calls may be bound to a few, which is not meant for the container
        apparmor=labels[0],
        selinux=labels[1],
    )
    return spec, (*label_decisions, *group_decisions, *limit_decisions, *score_decisions)


def _console_size(size: ConsoleSize | None) -> tuple[int, int] | None:
    """Return rows and columns, None when one of them is not known."""
    return (size.height, size.width) if size and size.height and size.width else None
