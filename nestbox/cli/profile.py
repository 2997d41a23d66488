"""`nestbox profile`: which profiles there are, what one says, whether a file is a right one."""

from __future__ import annotations

import os

import click

from nestbox.cli import output as out
from nestbox.cli.command import Command, Group, output_option
from nestbox.cli.completion import profile_names
from nestbox.errors import ProfileError
from nestbox.policy.profile_file import find_profile, list_profiles, load_profile_file
from nestbox.policy.shipped_profiles import load_shipped, shipped_text


def _list(output: str) -> None:
    entries = list_profiles(os.environ)
    if output == "json":
        out.say_json(entries)
        return
    rows = []
    for entry in entries:
        shipped = load_shipped(entry.name) if entry.source == "built in" else None
        about = shipped.description if shipped else _about(entry.source)
        if entry.hidden_by:
            about = f"never found: {entry.hidden_by} has the same name"
        rows.append((entry.name, about, entry.source))
    out.table(("NAME", "FOR", "FROM"), rows)


def _about(path: str) -> str:
    """Return the description in a profile file, or what is wrong with it."""
    try:
        return load_profile_file(path, os.environ).description
    except ProfileError as error:
        return f"not usable: {error.cause.splitlines()[0]}"


def _show(name: str, output: str) -> None:
    profile = find_profile(name, os.environ)
    if output == "json":
        out.say_json(profile)
        return
    text = shipped_text(name)
    if text is None:
        with open(profile.source, encoding="utf-8") as file:
            text = file.read()
    out.say(text.removesuffix("\n"))


def _check(files: tuple[str, ...]) -> int:
    code = 0
    for file in files:
        try:
            profile = load_profile_file(file, os.environ)
        except ProfileError as error:
            out.flush()
            out.show_error(error)
            code = error.exit_code
        else:
            out.say(f"{file}: ok, profile {profile.name}")
    return code


listing = Command(
    "list",
    params=[output_option()],
    callback=_list,
    help="List the profiles that --profile finds by name: the shipped ones, then those of "
    "/etc/nestbox/profiles and of $XDG_CONFIG_HOME/nestbox/profiles.",
    examples=(("nestbox profile list", "the profiles"),),
)

showing = Command(
    "show",
    params=[
        click.Argument(
            ["name"],
            metavar="PROFILE",
            shell_complete=lambda ctx, param, incomplete: profile_names(incomplete),
        ),
        output_option(),
    ],
    callback=_show,
    help="Show a profile, by name or path: as it is written, or with -o json complete, after "
    "extends was followed.",
    examples=(
        ("nestbox profile show minimal", "a profile, with its comments"),
        ("nestbox profile show default > ./mine.yaml", "the beginning of one's own"),
    ),
)

checking = Command(
    "check",
    params=[
        click.Argument(
            ["files"],
            metavar="FILE...",
            nargs=-1,
            required=True,
            type=click.Path(),
        )
    ],
    callback=_check,
    help="Check profile files, and list all that is wrong with each. The exit code is 0 when "
    "nothing is, else 125.",
    examples=(("nestbox profile check ./mine.yaml", "before it is used"),),
)

command = Group(
    "profile",
    table={
        "list": (__name__, "listing", "List the profiles that are found by name."),
        "show": (__name__, "showing", "Show what a profile says."),
        "check": (__name__, "checking", "Check profile files."),
    },
    help="List, show and check profiles: what a container gets unless an option says otherwise.",
    examples=(
        ("nestbox profile list", "the profiles that are found by name"),
        ("nestbox profile show default", "what one says"),
        ("nestbox profile check ./mine.yaml", "what is wrong with a file"),
    ),
)
