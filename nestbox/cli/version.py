"""`nestbox version`: which version this is."""

from __future__ import annotations

from nestbox.cli import output as out
from nestbox.cli.command import Command, output_option
from nestbox.version import VERSION


def _version(output: str) -> None:
    if output == "json":
        out.say_json({"nestbox": VERSION})
    else:
        out.say(f"nestbox {VERSION}")


command = Command(
    "version",
    params=[output_option()],
    callback=_version,
    help="Print the version.",
    examples=(
        ("nestbox version", "the version"),
        ("nestbox version -o json", "the same for a program"),
    ),
)
