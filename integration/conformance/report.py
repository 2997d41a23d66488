"""Scores as text: for the terminal, and as a marked block of a page."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from integration.conformance import tap
from integration.conformance.session import Score
from integration.conformance.suites import Result

_MANY: Final = 40  # differences; more are no list that anybody reads
_REASONS: Final = Path(__file__).with_name("reasons.toml")


class NoBlockError(Exception):
    """The page lacks the marks between which the scores belong."""


def lines(scores: Sequence[Score]) -> Iterator[str]:
    """Yield the totals, and the tests where the runtimes differ."""
    for score in scores:
        found = tap.count(result.outcome for result in score.results)
        totals = ", ".join(f"{number} {outcome}" for outcome, number in found.items())
        yield f"{score.runtime}: {totals}, of {len(score.results)}"
    for name, row in differences(scores):
        yield f"  {name}: " + ", ".join(
            f"{score.runtime} {result.outcome if result else 'not run'}"
            for score, result in zip(scores, row, strict=True)
        )


def differences(scores: Sequence[Score]) -> Iterator[tuple[str, list[Result | None]]]:
    """Yield each test whose outcome is not the same for all, with the results in order."""
    tables = [{result.name: result for result in score.results} for score in scores]
    names = dict.fromkeys(name for table in tables for name in table)
    for name in names:
        row = [table.get(name) for table in tables]
        if len({result.outcome if result else None for result in row}) > 1:
            yield name, row


def block(scores: Sequence[Score], reasons: Mapping[str, str]) -> str:
    """Return the scores as Markdown: totals, then every difference with its reason."""
    first = scores[0]
    rows = [
        f"{first.date}, {first.suite} {first.suite_version}, Linux {first.kernel}.",
        "",
        "| runtime | ok | not ok | skipped | of |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for score in scores:
        found = tap.count(result.outcome for result in score.results)
        cells = " | ".join(str(number) for number in found.values())
        rows.append(f"| {score.runtime} | {cells} | {len(score.results)} |")
    compared = [score for score in scores if len(list(differences([first, score]))) <= _MANY]
    for score in scores:
        if score not in compared:
            count = len(list(differences([first, score])))
            rows += [
                "",
                f"{score.runtime} differs from {first.runtime} in {count} tests, not listed.",
            ]
    rows += _differences(compared, reasons)
    return "\n".join(rows)


def _differences(scores: Sequence[Score], reasons: Mapping[str, str]) -> list[str]:
    """Return a table of the tests in which these runtimes differ; nothing where they do not."""
    rows: list[str] = []
    different = list(differences(scores))
    if different:
        names = " | ".join(score.runtime for score in scores)
        rows += [
            "",
            f"| where they differ | {names} | why |",
            "| --- |" + " --- |" * (len(scores) + 1),
        ]
        for name, row in different:
            cells = " | ".join(result.outcome if result else "not run" for result in row)
            rows.append(f"| {_cell(name)} | {cells} | {_cell(reasons.get(name, ''))} |")
    return rows


def reasons(suite: str) -> dict[str, str]:
    """Return why runtimes differ in a test, as far as it has been found out, by its name."""
    found: dict[str, str] = tomllib.loads(_REASONS.read_text()).get(suite, {})
    return found


def put(page: Path, key: str, text: str) -> None:
    """Write `text` between the marks of `key` in the page.

    Raises:
        NoBlockError: the page does not have these marks.
    """
    opening, closing = f"<!-- scores: {key} -->", f"<!-- end: {key} -->"
    whole = page.read_text()
    if opening not in whole or closing not in whole:
        raise NoBlockError(f"{page} has no block {opening} … {closing}")
    before, rest = whole.split(opening, 1)
    after = rest.split(closing, 1)[1]
    page.write_text(f"{before}{opening}\n\n{text}\n\n{closing}{after}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
