"""`nestbox caps`: all capabilities, where they are held, and what each profile would give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.cli.command import Command, output_option

if TYPE_CHECKING:
    from nestbox.doctor.outlook import Outlooks


def caps(output: str) -> None:
    """Print the table. Raises EnvironmentUnreadable."""
    table = foresee_environment(None)
    if output == "json":
        from nestbox.cli.output import say_json

        say_json(table)
        return
    from nestbox.cli.page import page, show
    from nestbox.doctor.grid import render_outlooks

    show(render_outlooks(table, page()))


def foresee_environment(recording: str | None) -> Outlooks:
    """Return the table of a recorded environment, or of this one.

    Raises:
        EnvironmentUnreadable: the capabilities cannot be read, or were not recorded.
        UsageError: there is no such recording.
    """
    from nestbox.doctor.outlook import SUBJECTS, foresee
    from nestbox.doctor.shipped import load_profiles

    if recording is not None:
        from nestbox.cli.recordings import read_environment

        return foresee(read_environment(recording, "."), load_profiles())
    from nestbox.outer.probe import observe
    from nestbox.runtime.context import context_of_process

    context = context_of_process()
    environment = observe(
        SUBJECTS,
        state_directory=context.storage,
        environment=context.environment,
    )
    return foresee(environment, load_profiles())


command = Command(
    "caps",
    callback=caps,
    help="List all capabilities, where they are held, and what each profile would give.\n\n"
    "Five letters say in which of our own sets one is: Inheritable, Permitted, Effective, "
    "Bounding, Ambient. The columns of the profiles come from the rules of a launch.",
    params=[output_option()],
    examples=(
        ("nestbox caps", "what this kernel has, and what can be granted here"),
        ("nestbox caps -o json", "the same for programs, with cause and remedy of what is missing"),
    ),
)
