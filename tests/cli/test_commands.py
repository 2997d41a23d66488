"""The command itself: which commands there are, their help, and what each loads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from nestbox.cli.command import Command, Group
from nestbox.cli.commands import TABLE, nestbox
from nestbox.version import VERSION

if TYPE_CHECKING:
    from tests.cli.conftest import Program


def all_commands(
    group: Group = nestbox, path: str = "nestbox"
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with the words that call it."""
    yield path, group
    for name in group.table:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, Group):
            yield from all_commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself_on_eighty_columns(path: str) -> None:
    result = CliRunner().invoke(nestbox, [*path.split()[1:], "--help"], prog_name="nestbox")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: {path}")
    assert max(len(line) for line in result.output.splitlines()) <= 80


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_examples_of_itself_in_its_help(path: str) -> None:
    command = COMMANDS[path]
    assert isinstance(command, Command | Group)
    assert command.examples
    result = CliRunner().invoke(nestbox, [*path.split()[1:], "--help"], prog_name="nestbox")
    for line, purpose in command.examples:
        assert line.startswith(path)
        assert f"  # {purpose}\n  {line}\n" in result.output


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_does(path: str) -> None:
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts


def test_the_lines_of_help_in_the_table_are_whole_sentences() -> None:
    for _, _, line in TABLE.values():
        assert line[0].isupper()
        assert line.endswith(".")
        assert len(line) <= 66


def test_without_arguments_the_help_is_shown(nestbox: Program) -> None:
    done = nestbox()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: nestbox")


@pytest.mark.parametrize("arguments", [["--version"], ["version"]])
def test_the_version(nestbox: Program, arguments: list[str]) -> None:
    assert nestbox(*arguments).stdout == f"nestbox {VERSION}\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["rnu"],
            "nestbox: no command 'rnu'\n"
            "  because: nestbox has no command of that name\n"
            "  try:     did you mean nestbox run?\n",
        ),
        (
            ["profile", "shwo"],
            "nestbox: no command 'shwo'\n"
            "  because: nestbox profile has no command of that name\n"
            "  try:     did you mean nestbox profile show?\n",
        ),
        (
            ["run", "--memroy", "64m", "true"],
            "nestbox: no option --memroy\n"
            "  because: nestbox run has no option of that name\n"
            "  try:     did you mean --memory? see nestbox run --help\n",
        ),
        (
            ["run", "--memory"],
            "nestbox: option --memory of nestbox run\n"
            "  because: it requires an argument\n"
            "  try:     see nestbox run --help\n",
        ),
        (
            ["run", "--privileged=yes", "true"],
            "nestbox: option --privileged of nestbox run\n"
            "  because: it does not take a value\n"
            "  try:     see nestbox run --help\n",
        ),
        (
            ["run"],
            "nestbox: the argument COMMAND is missing\n"
            "  because: nestbox run needs it\n"
            "  try:     see nestbox run --help\n",
        ),
        (
            ["run", "--log-level", "loud", "true"],
            "nestbox: option --log-level of nestbox run\n"
            "  because: 'loud' is not one of 'error', 'warning', 'info', 'debug'\n"
            "  try:     see nestbox run --help\n",
        ),
        (
            ["\033[2J"],
            "nestbox: no command '\\x1b[2J'\n"
            "  because: nestbox has no command of that name\n"
            "  try:     see nestbox --help\n",
        ),
    ],
)
def test_a_mistake_in_the_command_line_is_one_error(
    nestbox: Program, arguments: list[str], error: str
) -> None:
    done = nestbox(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (125, "", error)


def test_a_full_device_is_an_error(nestbox: Program) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = nestbox("profile", "list", stdout=full)
    assert done.returncode == 125
    assert done.stderr.startswith("nestbox: cannot write the result\n")


@pytest.mark.parametrize("arguments", [["profile", "list"], ["profile", "list", "-o", "json"]])
def test_a_reader_that_has_gone_ends_the_command_quietly(
    nestbox: Program, arguments: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = nestbox(*arguments, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_as_good_as_dev_null(nestbox: Program, closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{nestbox.command} profile list {closed}"],
        capture_output=True, text=True, env=nestbox.environment, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def loaded_by(code: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after the code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


_HEAVY = {
    "argparse", "dataclasses", "difflib", "docker", "email", "hashlib", "http", "json", "logging",
    "pathlib", "random", "rich", "shutil", "socket", "ssl", "subprocess", "tempfile", "textwrap",
    "traceback", "urllib", "yaml",
}  # fmt: skip
# click itself loads these.
_OF_CLICK = {"textwrap"}


def test_the_plain_path_of_run_loads_nothing_heavy() -> None:
    loaded = loaded_by(
        "import nestbox.cli.main, nestbox.cli.commands, nestbox.cli.run, nestbox.flags.request"
        "\nimport nestbox.runtime.run"
    )
    assert loaded & _HEAVY - _OF_CLICK == set()
    own = {name for name in loaded if name.startswith("nestbox.cli.")}
    assert own == {
        f"nestbox.cli.{name}"
        for name in (
            "command", "commands", "errors", "launch_options", "main", "output",
            "run",
        )
    }  # fmt: skip


def test_the_command_loads_no_command_before_it_is_called() -> None:
    loaded = loaded_by("import nestbox.cli.main")
    assert "click" not in loaded
    loaded = loaded_by("import nestbox.cli.commands")
    assert not {f"nestbox.cli.{name}" for name in TABLE} & loaded
    assert "msgspec" not in loaded
