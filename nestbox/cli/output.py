"""Where the command line prints: results to standard output, notes and errors to standard error.

What is shown is safe for a terminal: control characters of any text appear escaped, and colour is
used on a terminal alone, unless NO_COLOR is set (https://no-color.org).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nestbox.errors import NestboxError

_BOLD_RED = "\033[1;31m"
_BOLD = "\033[1m"
_PLAIN = "\033[0m"
# The colours of words that stand alone in a cell of a table.
_WORD_STYLES = {
    "granted": "green",
    "given": "green",
    "weakened": "yellow",
    "refused": "bold red",
    "dropped": "dim",
    "not-asked": "dim",
}
_MAX_COLUMNS = 100  # columns; longer lines of prose are hard to read


def escape(text: str, *, keep: str = "") -> str:
    """Return the text with everything that is not printable escaped, except the ``keep`` ones.

    Control characters could move the cursor or rewrite what was printed before, and so could the
    marks that reverse the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep or char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def say(text: str = "") -> None:
    """Print lines of a result to standard output."""
    sys.stdout.write(escape(text, keep="\n") + "\n")


def say_bytes(data: bytes) -> None:
    """Print bytes to standard output as they are: JSON, or what a file holds."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say_json(value: Any) -> None:
    """Print a value as an indented JSON document to standard output."""
    import msgspec

    try:
        data = msgspec.json.format(msgspec.json.encode(value), indent=2)
    except UnicodeEncodeError:  # a file name that is not UTF-8: its bytes are lone surrogates
        import json

        data = json.dumps(msgspec.to_builtins(value), indent=2).encode()
    say_bytes(data + b"\n")


def note(text: str) -> None:
    """Print one line for the person to standard error."""
    _to_stderr(escape(text))


def show_error(error: NestboxError) -> None:
    """Print an error to standard error: what, because, try."""
    colour = _colours(sys.stderr)
    lead, label, plain = (_BOLD_RED, _BOLD, _PLAIN) if colour else ("", "", "")
    width = terminal_width(sys.stderr) if sys.stderr.isatty() else None
    lines = [
        f"{lead}nestbox:{plain} {escape(error.what)}",
        *_labelled("  because: ", f"  {label}because:{plain} ", error.cause, width),
        *_labelled("  try:     ", f"  {label}try:{plain}     ", error.remedy, width),
    ]
    _to_stderr("\n".join(lines))


def _to_stderr(text: str) -> None:
    """Print lines; when there is nowhere to print them, there is nowhere to say so either."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _labelled(label: str, shown_label: str, text: str, width: int | None) -> list[str]:
    """Return the text behind a label, its further lines indented under the first."""
    lines = [
        part
        for line in escape(text, keep="\n").splitlines() or [""]
        for part in _wrapped(line, None if width is None else width - len(label))
    ]
    return [shown_label + lines[0], *(" " * len(label) + line for line in lines[1:])]


def _wrapped(line: str, width: int | None) -> list[str]:
    """Return the line in pieces of the width; it stays whole where no person looks at it."""
    if width is None or len(line) <= width:
        return [line]
    from textwrap import wrap

    return wrap(line, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def terminal_width(stream: TextIO | None = None) -> int:
    """Return how many columns prose may use: those of the terminal, at most 100; else 80."""
    try:
        columns = int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        try:
            columns = os.get_terminal_size((stream or sys.stdout).fileno()).columns or 80
        except (OSError, ValueError):
            columns = 80
    return max(20, min(columns, _MAX_COLUMNS))


def _colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def heading(text: str) -> None:
    """Print the heading of a part of a result, set off by an empty line above it."""
    if _colours(sys.stdout):
        say()
        sys.stdout.write(f"{_BOLD}{escape(text)}{_PLAIN}\n")
    else:
        say(f"\n{text}")


def paragraph(text: str, *, indent: int = 0, hanging: int = 0) -> None:
    """Print prose, wrapped at the width of the terminal; further lines are indented by more.

    Spaces in the text stay as they are, so that the first words can be a column.
    """
    from textwrap import fill

    space = " " * indent
    say(
        fill(
            escape(text),
            terminal_width(),
            initial_indent=space,
            subsequent_indent=space + " " * hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    whole: Sequence[int] = (0,),
    right: Sequence[int] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table that fits the terminal to standard output.

    Columns ``whole`` are not wrapped unless they leave the others no room, columns ``right`` are
    set to the right. A cell that is one word of ``styles`` (besides the outcomes of decisions) gets
    that style on a terminal.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(
        file=sys.stdout,
        highlight=False,
        no_color=True if os.environ.get("NO_COLOR") else None,
    )
    cells = [[escape(cell, keep="\n") for cell in row] for row in rows]
    longest = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    roomy = sum(longest[number] + 2 for number in whole) <= console.width // 2
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, header in enumerate(headers):
        grid.add_column(
            header,
            no_wrap=roomy and number in whole,
            justify="right" if number in right else "left",
            overflow="fold",
        )
    known = {**_WORD_STYLES, **(styles or {})}
    for row in cells:
        grid.add_row(*(Text(cell, style=known.get(cell, "")) for cell in row))
    with console.capture() as capture:
        console.print(grid)
    # Rich fills each line up to the width, which only disturbs whoever copies or compares it.
    lines = [line.rstrip() for line in capture.get().splitlines()]
    sys.stdout.write("\n".join(lines) + "\n")


def flush() -> None:
    """Write out what standard output still holds. Raises OSError."""
    sys.stdout.flush()


def discard_output() -> None:
    """Let what is still to be written to standard output vanish: its reader has gone."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 1)
    os.close(null)
