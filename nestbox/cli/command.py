"""What the commands are made of: options in sections, examples in the help, late loading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from nestbox.cli import output
from nestbox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Examples = tuple[tuple[str, str], ...]  # a command line, and what it is for


_LAST: Final = "Options"  # the section of options that belong to no subject
_COLUMN: Final = 26


class Option(click.Option):
    """An option that the help lists under a heading of its own."""

    def __init__(self, *arguments: Any, section: str = _LAST, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section


class Documented(click.Command):
    """What a command and a group of commands have in common: help with examples, better errors."""

    def __init__(
        self,
        name: str | None,
        *,
        params: Sequence[click.Parameter] = (),
        examples: Examples = (),
        **settings: Any,
    ) -> None:
        # The help option of click looks for a translation of its text, at each start.
        super().__init__(name, params=[*params, _help_option()], add_help_option=False, **settings)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what is left of the arguments; an error in them knows the command."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each example on a line of its own, below what it is for."""
        if not self.examples:
            return
        with formatter.section("Examples"):
            for line, purpose in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}# {purpose}\n")
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Command(Documented):
    """A command with its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each section under its heading."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None and isinstance(parameter, click.Option):
                heading = getattr(parameter, "section", _LAST)
                # The same first column in every section.
                sections.setdefault(heading, []).append((f"{row[0]:<{_COLUMN}}", row[1]))
        if _LAST in sections:
            sections[_LAST] = sections.pop(_LAST)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=_COLUMN)


class Group(Documented, click.Group):
    """A command with commands below it, which are loaded when they are called.

    ``table`` has for each name the module, the attribute in it, and one line of help.
    """

    def __init__(
        self,
        name: str | None,
        *,
        table: Mapping[str, tuple[str, str, str]],
        **settings: Any,
    ) -> None:
        super().__init__(name, **settings)
        self.table = table

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what is left of the arguments; without any, show the help."""
        if not args and not ctx.resilient_parsing:
            output.say(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name, imported now; None when there is none."""
        row = self.table.get(cmd_name)
        if row is None:
            return None
        from importlib import import_module

        command: click.Command = getattr(import_module(row[0]), row[1])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name, and those that are left.

        Raises:
            UsageError: there is no such command.
        """
        name = args[0]
        command = self.get_command(ctx, name)
        if command is not None:
            return name, command, args[1:]
        if ctx.resilient_parsing:
            return None, None, args[1:]
        from difflib import get_close_matches

        close = get_close_matches(name, self.table, n=1)
        raise UsageError(
            f"no command {name[:80]!r}",
            cause=f"{ctx.command_path} has no command of that name",
            remedy=f"did you mean {ctx.command_path} {close[0]}?"
            if close
            else f"see {ctx.command_path} --help",
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names with their lines of help, and load nothing for that."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[2]) for name, row in self.table.items()])


def _show_help(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        output.say(ctx.get_help())
        ctx.exit()


def _help_option() -> Option:
    return Option(
        ["--help"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_help,
        help="Show this message and exit.",
    )


def root_option() -> Option:
    """Return the option for the directory in which the state of containers is."""
    return Option(
        ["--root", "state_root"],
        metavar="DIR",
        help="Keep the state of containers in DIR.  [default: /run/nestbox, or for other users "
        "than root $XDG_RUNTIME_DIR/nestbox]",
    )


def output_option() -> Option:
    """Return the option for the form of a result."""
    return Option(
        ["-o", "--output"],
        type=click.Choice(["text", "json"]),
        default="text",
        help="Print text for people, or JSON for programs.  [default: text]",
    )
