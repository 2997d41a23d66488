"""Makes the pages of docs/reference from the program's own tables: `python -m docs.generate`.

Each page is a pure function of the tables, so tests/docs/test_generated.py can compare it with the
file. What a table does not say, such as what a cause means, stands here and is checked for gaps.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from docs.markdown import link, page, sections, table
from docs.runtime_cli import runtime_cli
from nestbox import errors
from nestbox.cli.command import Option
from nestbox.cli.commands import nestbox as program
from nestbox.cli.errors import FAILED, INTERRUPTED, PIPE_CLOSED
from nestbox.kernel.capabilities import BY_NAME, CapabilityRow
from nestbox.kernel.capabilities import TABLE as CAPABILITIES
from nestbox.outer import facts
from nestbox.policy import decision, request
from nestbox.policy.decision import CapabilityCause
from nestbox.policy.profile_schema import TABLE as PROFILE_KEYS
from nestbox.policy.profile_schema import schema as profile_schema
from nestbox.policy.shipped_profiles import NAMES, shipped_form
from nestbox.runtime.record import Record

REFERENCE: Final = Path(__file__).parent / "reference"

# Source: capabilities(7), and nestbox.policy.capability_decisions, which sets them.
_CAUSES: Final = {
    CapabilityCause.NONE: "nothing is in the way",
    CapabilityCause.NOT_ASKED: "nobody asked for it",
    CapabilityCause.REMOVED_BY_FLAG: "`--cap-drop` removed it",
    CapabilityCause.UNKNOWN_NAME: "there is no capability of that name",
    CapabilityCause.NEWER_THAN_KERNEL: "this kernel does not have it",
    CapabilityCause.NOT_IN_OUTER_BOUNDING: "the bounding set around nestbox does not have it, and "
    "no process can get back what its bounding set lacks",
    CapabilityCause.NOT_IN_OUTER_PERMITTED: "nestbox itself does not hold it: its bounding set "
    "may have it, its permitted set does not",
    CapabilityCause.NEEDS_SETPCAP: "it was to be removed from the bounding set, and that takes "
    "CAP_SETPCAP",
    CapabilityCause.NOT_ROOT: "the program does not run as root, so it gains this from file "
    "capabilities alone, or with `--ambient`",
    CapabilityCause.NOT_AMBIENT: "nobody asked for it as ambient, or it cannot be ambient here",
    CapabilityCause.NOT_INHERITABLE: "inheritable stays empty unless ambient was asked for",
    CapabilityCause.NO_NEW_PRIVS: "no_new_privs is set, so an exec gives no more rights",
    CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE: "the kernel checks it against the first user "
    "namespace only, and the container has one of its own",
    CapabilityCause.PROFILE_LIMIT: "the profile does not allow it",
}

_VARIABLES: Final = (
    ("NESTBOX_ROOT", "where the state of containers and their records are; `--root` goes first"),
    ("NESTBOX_STORAGE", "where the layers that containers write to, and compiled filters, are"),
    ("XDG_RUNTIME_DIR", "for other users than root: the state is in `nestbox` below it"),
    ("XDG_DATA_HOME", "for other users than root: the storage is in `nestbox` below it"),
    ("XDG_CONFIG_HOME", "profiles are looked up in `$XDG_CONFIG_HOME/nestbox/profiles`"),
    ("NO_COLOR", "when set, output has no colours"),
    ("COLUMNS", "how wide text for people is; the terminal's width otherwise"),
)

_COMMAND_CODES: Final = (
    ("`run`", "the program's", "the program ended; 128 + N when signal N ended it"),
    ("`run`", str(FAILED), "nestbox refused the launch, or a step of it failed"),
    ("`run`", str(errors.ProgramNotInvokable.exit_code), "the program cannot be invoked"),
    ("`run`", str(errors.ProgramNotFound.exit_code), "the program was not found"),
    ("`exec`", "as of `run`", "of the process that it runs"),
    ("`plan`", "0", "the launch would go on"),
    ("`plan`", str(FAILED), "the launch would be refused"),
    ("`doctor`", "0, 1, 2", "nothing is missing, something is, doctor itself failed"),
    ("`profile check`", f"0, {FAILED}", "every file is right, at least one is not"),
    ("every command", str(FAILED), "wrong usage, or an error"),
    ("every command", str(INTERRUPTED), "interrupted from the keyboard (128 + SIGINT)"),
    ("every command", str(PIPE_CLOSED), "nobody reads its output any more (128 + SIGPIPE)"),
)


def pages() -> dict[str, str]:
    """Return the text of every made file, by its name below docs/reference."""
    return {name: make() for name, make in _PAGES.items()}


def unexplained_causes() -> set[CapabilityCause]:
    """Return the causes of a missing capability that no page explains."""
    return set(CapabilityCause) - set(_CAUSES)


def main() -> int:
    """Write every page, and return 0."""
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    return 0


def _cli() -> str:
    context = click.Context(program, info_name="nestbox")
    commands = list(_commands(program, context))
    variables = table(
        ("variable", "what it is for"), [(f"`{name}`", use) for name, use in _VARIABLES]
    )
    return page(
        "Commands",
        "\n".join(link(ctx.command_path) for _, ctx in commands)
        + "\n"
        + link("Environment variables"),
        *(_command(command, ctx) for command, ctx in commands),
        f"## Environment variables\n\n{variables}",
    )


def _commands(
    command: click.Command, context: click.Context
) -> Iterable[tuple[click.Command, click.Context]]:
    """Yield a command and those below it, each with its context."""
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(below, click.Context(below, info_name=name, parent=context))


def _command(command: click.Command, context: click.Context) -> str:
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    blocks = [f"## {context.command_path}", f"```text\n{usage}\n```", command.help or ""]
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.params:
        row = parameter.get_help_record(context)
        if row is not None and isinstance(parameter, click.Option):
            heading = parameter.section if isinstance(parameter, Option) else "Options"
            sections.setdefault(heading, []).append((f"`{row[0]}`", " ".join(row[1].split())))
    blocks += [
        f"**{heading}**\n\n{table(('option', 'what it does'), rows)}"
        for heading, rows in sections.items()
    ]
    examples = getattr(command, "examples", ())
    if examples:
        lines = "\n".join(f"# {purpose}\n{line}" for line, purpose in examples)
        blocks.append(f"**Examples**\n\n```sh\n{lines}\n```")
    return "\n\n".join(block for block in blocks if block)


def _profile() -> str:
    properties = profile_schema()["properties"]
    default = shipped_form("default")
    rows = [
        (f"`{key}`", row.about, _values(properties[key]), _shipped_value(default, key))
        for key, row in PROFILE_KEYS.items()
    ]
    return page(
        "The keys of a profile",
        "A profile is a YAML file, `NAME.yaml`. `name` is the only key that it must have; what is "
        "left out is as in the profile that `extends` names, or else as in `default`. A key holds "
        "or is replaced as a whole. The same as a JSON Schema: "
        "[profile.schema.json](profile.schema.json). How to write one: "
        "[profiles](../guide/profiles.md).",
        table(("key", "what it says", "values", "in `default`"), rows),
        "Where a word stands, a mapping may say more: `{want: WORD, policy: strict}` refuses the "
        "launch instead of giving less, and `{want: WORD, otherwise: WORD}` names what is used "
        "instead. `policy` is `lenient` unless it is written. `cgroup` also takes `mount` for "
        "`want`.",
    )


def _values(schema: dict[str, Any]) -> str:
    """Return in words what a schema allows."""
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "anyOf" in schema:
        parts = [_values(one) for one in schema["anyOf"] if "oneOf" not in one]
        return " or ".join(dict.fromkeys(part for part in parts if part))
    kind = schema.get("type")
    if kind == "object" and "properties" not in schema:
        return "names, each with its value"
    if kind == "object":
        return "keys " + ", ".join(f"`{key}`" for key in schema["properties"])
    if kind == "array":
        return f"a list of {_values(schema['items'])}"
    return {"boolean": "`true`, `false`", "string": "text"}.get(str(kind), "a number")


def _shipped_value(form: dict[str, Any], key: str) -> str:
    value = form.get("want") if key == "want" else form.get(key)
    if isinstance(value, dict) and "want" in value:
        return f"`{value['want']}`"
    if key == "capabilities" and isinstance(value, dict):
        return f"{len(value['grant'])} names"
    if key in {"masked_paths", "readonly_paths"} and isinstance(value, list):
        return f"{len(value)} paths"
    if key in {"name", "description", "extends"} or value in (None, {}, []):
        return ""
    return f"`{json.dumps(value)}`"


def _capabilities() -> str:
    granted = {name: _granted(name) for name in NAMES}
    rows = [
        (
            str(row.number),
            f"`{row.name}`",
            row.purpose,
            "no effect" if row.initial_only else "",
            ", ".join(name for name in NAMES if _has(granted[name], row)),
        )
        for row in CAPABILITIES
    ]
    causes = [(f"`{cause.value}`" if cause else "(empty)", _CAUSES[cause]) for cause in _CAUSES]
    return page(
        "Capabilities",
        "The table that nestbox works with. `nestbox caps` shows the same with what is here. A "
        "name may be written in any case and without `CAP_`; a number is a name too (`21`, "
        "`CAP_21`). How they are asked for and decided: [capabilities](../guide/capabilities.md).",
        "## The table\n\n"
        + table(
            ("nr", "name", "what it is for", "in a user namespace", "asked for by"),
            rows,
        ),
        '"No effect": the kernel checks it against the first user namespace alone, so that a '
        "container with a user namespace of its own holds the bit and not the power. The last "
        "column is what a shipped profile asks for; each gives of it what is to be had.",
        "## Causes\n\nWhy a capability is not in a set. `nestbox explain` says it in words; "
        "records have these values, which do not change.\n\n" + table(("value", "meaning"), causes),
    )


def _granted(name: str) -> tuple[str, ...]:
    form: Any = shipped_form(name)
    return tuple(form["capabilities"]["grant"])


def _has(granted: tuple[str, ...], row: CapabilityRow) -> bool:
    return "ALL" in granted or any(BY_NAME[f"CAP_{name}"] == row.number for name in granted)


def _errors() -> str:
    return page(
        "Errors",
        "Every error that nestbox shows has three parts: what failed, the fact that decided, and "
        "the smallest thing to do about it.",
        "```text\nnestbox: WHAT\n  because: CAUSE\n  try:     REMEDY\n```",
        "They go to standard error. A traceback is a defect of nestbox: `nestbox --debug run …` "
        "shows where an error arose, for a report. Several things that are missing are one error, "
        "which lists all of them.",
        "From Python, each is an exception with the fields `what`, `cause`, `remedy` and "
        "`exit_code`. They are in `nestbox.errors`, and all of them are a "
        "`nestbox.NestboxError`.",
        table(
            ("class", "is a", "exit code", "when"),
            [
                (
                    f"`{kind.__name__}`",
                    f"`{kind.__mro__[1].__name__}`",
                    str(kind.exit_code),
                    _first_line(kind),
                )
                for kind in _error_classes(errors.NestboxError)
            ],
        ),
    )


def _error_classes(base: type[errors.NestboxError]) -> list[type[errors.NestboxError]]:
    """Return a class of errors and those below it that nestbox.errors has, by the tree."""
    below = [x for x in base.__subclasses__() if x.__module__ == errors.__name__]
    return [base, *(found for one in below for found in _error_classes(one))]


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _exit_codes() -> str:
    classes: dict[int, list[str]] = {}
    for kind in _error_classes(errors.NestboxError):
        classes.setdefault(kind.exit_code, []).append(f"`{kind.__name__}`")
    return page(
        "Exit codes",
        "Those of `docker run`, so that a script can tell nestbox's own failure from that of the "
        "program.",
        table(("command", "exit code", "meaning"), _COMMAND_CODES),
        "A program can end with 125 to 127 itself. The record tells them apart: `error` in it is "
        "empty when the launch went well.",
        table(
            ("exit code", "errors"),
            [(str(code), ", ".join(names)) for code, names in sorted(classes.items())],
        ),
    )


def _record() -> str:
    parts = (
        Record, decision.CapabilityDecision, decision.SetOutcome, facts.CapabilitySets,
        decision.Decision, decision.Outcome, decision.Intent, decision.Scope, request.RunRequest,
        request.RootRequest, request.MountRequest, request.DeviceRequest, request.LimitRequest,
        request.SecurityOptions,
    )  # fmt: skip
    return page(
        "The record of a launch",
        "One JSON document for each container: while it lives beside its state, then among the "
        "last hundred finished ones, in `@records` of the state directory. `nestbox explain` "
        "answers from it, `nestbox run --provenance FILE` appends it to a file as one line, and "
        "`nestbox.run` returns it. `schema` rises when a field changes its meaning. As a JSON "
        "Schema: [record.schema.json](record.schema.json). `environment` is described on "
        "[its own page](environment.md), the values of `cause` with the "
        "[capabilities](capabilities.md#causes).",
        *sections(parts),
    )


def _environment() -> str:
    named = [x for x in vars(facts).values() if isinstance(x, type)]
    own = [x for x in named if x.__module__ == facts.__name__ and x not in _ELSEWHERE]
    return page(
        "A recorded environment",
        "What `nestbox doctor --record FILE` writes, and `nestbox plan --environment FILE` and "
        "`nestbox doctor --environment FILE` read. It holds what was observed and no opinion: "
        "which launch is possible follows from it alone. Sets of capabilities are bit masks. As "
        "a JSON Schema: [environment.schema.json](environment.schema.json).",
        "A recording has process names, mount points and ids of the machine that it was made on. "
        "Of environment variables it has those alone that show an engine or a CI runner. Read it "
        "before you publish it.",
        *sections((facts.OuterEnvironment, *own)),
    )


# Of nestbox.outer.facts, and no part of a recording.
_ELSEWHERE: Final = (facts.OuterEnvironment, facts.Subject, facts.Program, facts.RootFacts)


def _as_json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _described(kind: type, title: str) -> str:
    """Return the JSON Schema of a kind of value, with its docstrings on one line each."""
    made = msgspec.json.schema(kind)
    for definition in made["$defs"].values():
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
    return _as_json(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **made}
    )


_PAGES: Final[dict[str, Callable[[], str]]] = {
    "cli.md": _cli,
    "runtime-cli.md": runtime_cli,
    "profile.md": _profile,
    "profile.schema.json": lambda: _as_json(profile_schema()),
    "capabilities.md": _capabilities,
    "errors.md": _errors,
    "exit-codes.md": _exit_codes,
    "record.md": _record,
    "record.schema.json": lambda: _described(Record, "The record of a nestbox launch"),
    "environment.md": _environment,
    "environment.schema.json": lambda: _described(
        facts.OuterEnvironment, "An environment as nestbox observed it"
    ),
}

NAMES_OF_PAGES: Final = tuple(_PAGES)

if __name__ == "__main__":
    sys.exit(main())
