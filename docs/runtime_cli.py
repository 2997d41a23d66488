"""The page of `nestbox-runtime`, made from the tables that the program parses with."""

from __future__ import annotations

import importlib
from typing import Final

from docs.markdown import link, page, table
from nestbox.cli.oci.command import FLAG, Command, Option
from nestbox.cli.oci.main import COMMANDS, SPEC
from nestbox.cli.oci.session import global_options

_PROGRAM: Final = "nestbox-runtime"
_ROOT: Final = "/run/nestbox"

_CODES: Final = (
    ("`run`, `restore`", "the program's", "128 + N when signal N ended it; 0 when detached"),
    ("`exec`", "the process's", "likewise"),
    ("`exec`", "255", "the process could not be run"),
    ("every command", "1", "it failed, or was called wrongly"),
    ("-", "3", "there is no such command"),
    ("every command", "0", "it did what it was asked for"),
)

_DIFFERENCES: Final = (
    (
        "a capability that cannot be granted here",
        "`create` fails and names none",
        "it is left out; a warning in the log names it, its set and its cause",
    ),
    (
        "`process.capabilities` absent",
        "the process keeps all that the runtime has",
        "it has none, as the specification says",
    ),
    (
        "RLIMIT_NOFILE or `oomScoreAdj` beyond what is allowed here",
        "`create` fails",
        "clamped, with a warning",
    ),
    (
        "`kill --all`",
        "signals the first process",
        "signals every process of the container, as crun and earlier versions of runc do",
    ),
    ("`list --format json` without containers", "`null`", "`[]`"),
    ("an error", "what failed", "what failed, why, and what to do, in one line"),
    ("`features --host`", "-", "adds what this host has: `host` in the document"),
    ("`--cgroup-manager`, `--config`", "-", "as in crun"),
    ("`--log journald:TAG`, `syslog:TAG`, `file:PATH`", "-", "as in crun"),
)


def runtime_cli() -> str:
    """Return the text of docs/reference/runtime-cli.md."""
    commands = [_command(name) for name in COMMANDS]
    headings = ["Global options", "Exit codes", "The log", "What differs from runc"]
    contents = [*headings, *(f"{_PROGRAM} {command.name}" for command in commands)]
    return page(
        f"{_PROGRAM}",
        "The runtime for engines: dockerd, containerd, podman, CRI-O and buildah call it in the "
        f"place of runc. It implements version {SPEC} of the runtime specification. Options, "
        "output, exit codes and the phrases that engines look for are those of runc 1.5. Called "
        "by another name, through a link, it says that name where it says its own: some callers "
        "take only a runtime whose version begins with `runc version`.",
        "\n".join(map(link, contents)),
        "## Global options\n\n"
        f"In front of the command: `{_PROGRAM} --root /run/x state web`.\n\n"
        + _options(global_options()),
        "An option is written with one dash or two, its value behind `=` or as the next word; a "
        "flag can be switched off (`--force=false`). Options may follow the arguments, except "
        "for `exec` and `ps`, which pass on what follows the container. The default of `--root` "
        "is the directory of `nestbox`, `$NESTBOX_ROOT` overrides it; for other users than root "
        "it is `$XDG_RUNTIME_DIR/nestbox`.",
        "## Exit codes\n\n" + table(("command", "exit code", "meaning"), _CODES),
        "## The log\n\nWithout `--log` messages go to standard error. With `--log-format json` "
        "each is one JSON object in a line, with `level` (`error`, `warning`, `info`, `debug`), "
        "`msg` and `time` (RFC 3339). A failure is printed on standard error too, without "
        "decoration, when the log is elsewhere.",
        "## What differs from runc\n\n" + table(("", "runc", _PROGRAM), _DIFFERENCES),
        *map(_section, commands),
    )


def _command(name: str) -> Command:
    module = importlib.import_module(f"nestbox.cli.oci.{name}_command")
    command: Command = module.COMMAND
    return command


def _section(command: Command) -> str:
    usage, _, explained = command.arguments.partition("\n\n")
    words = " ".join(f"{_PROGRAM} {command.name} [options] {usage}".split())
    text = " ".join(f"{command.description} {explained}".split())
    blocks = [
        f"## {_PROGRAM} {command.name}",
        f"```text\n{words}\n```",
        f"{command.usage[0].upper()}{command.usage[1:]}.",
        text.replace("<container-id>", "`<container-id>`").replace('"', ""),
        _options(command.options),
    ]
    return "\n\n".join(block for block in blocks if block)


def _options(options: tuple[Option, ...]) -> str:
    shown = [option for option in options if not option.hidden]
    return table(("option", "what it does"), [(_spelling(one), _text(one)) for one in shown])


def _spelling(option: Option) -> str:
    value = "" if option.kind == FLAG else " VALUE"
    return ", ".join(f"`{'--' if len(one) > 1 else '-'}{one}{value}`" for one in option.names)


def _text(option: Option) -> str:
    default = _ROOT if option.names[0] == "root" else option.default
    return f"{option.help}; default `{default}`" if default else option.help
