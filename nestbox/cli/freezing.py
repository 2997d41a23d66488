"""`nestbox pause` and `nestbox resume`: containers that are stopped for a while."""

from __future__ import annotations

from nestbox.cli.command import Command
from nestbox.cli.containers import all_roots_option, container_arguments, for_each


def _pause(containers: tuple[str, ...], root: str | None) -> int:
    from nestbox.runtime.holding import pause_container

    return for_each(containers, root, pause_container)


def _resume(containers: tuple[str, ...], root: str | None) -> int:
    from nestbox.runtime.holding import resume_container

    return for_each(containers, root, resume_container)


pause_command = Command(
    "pause",
    callback=_pause,
    help="Stop all processes of containers until they are resumed.",
    params=[all_roots_option(), container_arguments()],
    examples=(("nestbox pause web", "it keeps its memory, and uses no processor"),),
)

resume_command = Command(
    "resume",
    callback=_resume,
    help="Let paused containers go on.",
    params=[all_roots_option(), container_arguments()],
    examples=(("nestbox resume web", "it goes on where it was"),),
)
