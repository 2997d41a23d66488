"""The help of `nestbox-runtime`: for the whole and for each command, in runc's form."""

from __future__ import annotations

from nestbox.cli.oci.command import FLAG, NUMBER, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ABOUT = """{name} - Open Container Initiative runtime

{name} runs containers as the Open Container Initiative specifies them, for engines and for
people, in the place of runc. What an environment cannot give, such as a capability that was taken
away around it, is left out and named in the log with its cause, and does not stop the container.

A container is made from a bundle: a directory with a file "config.json" and a root filesystem.
This runs one, from the current directory unless -b names another:

    # {name} run [ -b bundle ] <container-id>"""


def root_help(program: str, commands: Mapping[str, str], options: Sequence[Option]) -> str:
    """Return the help of the whole, ending in a newline."""
    rows = [(name, usage) for name, usage in commands.items()]
    return "\n".join(
        [
            "NAME:",
            "   " + _ABOUT.format(name=program),
            "",
            "USAGE:",
            f"   {program} [global options] command [command options] [arguments...]",
            "",
            "COMMANDS:",
            *_columns([*rows, ("help, h", "Shows a list of commands or help for one command")]),
            "",
            "GLOBAL OPTIONS:",
            *_columns(_option_rows(options)),
            "",
        ]
    )


def command_help(program: str, command: Command) -> str:
    """Return the help of one command, ending in a newline."""
    options = [option for option in command.options if option.names[0] != "help"]
    words = [program, command.name, *(["[command options]"] if options else [])]
    lines = [
        "NAME:",
        f"   {program} {command.name} - {command.usage}",
        "",
        "USAGE:",
        f"   {' '.join(words)} {command.arguments}".rstrip(),
    ]
    if command.description:
        lines += ["", "DESCRIPTION:", f"   {command.description}"]
    return "\n".join([*lines, "", "OPTIONS:", *_columns(_option_rows(command.options)), ""])


def _option_rows(options: Sequence[Option]) -> list[tuple[str, str]]:
    return [(_spelling(option), _text(option)) for option in options if not option.hidden]


def _spelling(option: Option) -> str:
    value = "" if option.kind == FLAG else " value"
    return ", ".join(("--" if len(name) > 1 else "-") + name + value for name in option.names)


def _text(option: Option) -> str:
    if not option.default:
        return option.help
    shown = option.default if option.kind == NUMBER else f'"{option.default}"'
    return f"{option.help} (default: {shown})"


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(first) for first, _ in rows)
    return [f"   {first:<{width}}  {second}".rstrip() for first, second in rows]
