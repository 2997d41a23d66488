"""`nestbox completion`: what a shell has to read to complete command lines; and the words."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import CompletionItem, get_completion_class

from nestbox.cli import output
from nestbox.cli.command import Command
from nestbox.cli.main import COMPLETION_VARIABLE
from nestbox.errors import NestboxError

_SHELLS: Final = ("bash", "zsh", "fish")


def _completion(shell: str) -> None:
    from nestbox.cli.commands import nestbox

    kind = get_completion_class(shell)
    if kind is None:
        raise NestboxError(
            f"no completion for {shell}",
            cause="the installed version of click has none",
            remedy="install click 8.1 or later",
        )
    completion = kind(nestbox, {}, "nestbox", COMPLETION_VARIABLE)
    # Not source(): for bash that starts a bash to ask for its version.
    output.say(completion.source_template % completion.source_vars())


def profile_names(incomplete: str) -> list[CompletionItem]:
    """Return the profiles whose names begin like this; a path is for the shell to complete."""
    import os

    from nestbox.policy.profile_file import list_profiles

    if "/" in incomplete:
        return [CompletionItem(incomplete, type="file")]
    return [
        CompletionItem(entry.name, help=entry.source)
        for entry in list_profiles(os.environ)
        if entry.name.startswith(incomplete) and not entry.hidden_by
    ]


def capability_names(incomplete: str) -> list[CompletionItem]:
    """Return the capabilities that continue what is behind the last comma."""
    from nestbox.kernel.capabilities import TABLE

    before, comma, word = incomplete.rpartition(",")
    wanted = word.upper()
    prefix = "CAP_" if wanted.startswith("CAP_") else ""
    names = ["ALL", *(prefix + row.name.removeprefix("CAP_") for row in TABLE)]
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(wanted)]


def network_names(incomplete: str) -> list[CompletionItem]:
    """Return the networks whose names begin like this."""
    from nestbox.policy.network import NAMES

    return [CompletionItem(name) for name in NAMES if name.startswith(incomplete)]


command = Command(
    "completion",
    params=[click.Argument(["shell"], type=click.Choice(_SHELLS))],
    callback=_completion,
    help="Print the completion for a shell.\n\n"
    'bash: put  eval "$(nestbox completion bash)"  into ~/.bashrc\n\n'
    'zsh: put  eval "$(nestbox completion zsh)"  into ~/.zshrc, after compinit\n\n'
    "fish: nestbox completion fish > ~/.config/fish/completions/nestbox.fish",
    examples=(
        ("nestbox completion bash", "what bash is to evaluate"),
        ("nestbox completion fish", "what belongs into a file of fish"),
    ),
)
