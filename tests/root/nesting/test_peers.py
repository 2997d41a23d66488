"""Where others start a container, nestbox does; and in some environments it is the only one."""

from __future__ import annotations

import os

import pytest

from tests.root.nesting.catalogue import ENVIRONMENTS
from tests.root.nesting.description import Environment
from tests.root.nesting.goldens import REFERENCE, machine_class
from tests.root.nesting.requests import DEFAULT
from tests.root.nesting.table import (
    NESTBOX,
    PAGE,
    UPDATE,
    Column,
    judge_all,
    load,
    page,
    programs,
    save,
    version_of,
    works_alone,
)

_ALONE = 5
# Where nestbox refuses on purpose, and says so: docs/design/decisions.md, "Root and mounts".
_REFUSED = {"filter-2019"}


@pytest.mark.skipif(os.environ.get(UPDATE) != "1", reason=f"makes the table: {UPDATE}=1")
def test_the_table_is_made(enter) -> None:
    found, versions = {}, {}
    for described in ENVIRONMENTS:
        with enter(described) as session:
            found[described.name] = judge_all(session)
            if not versions:
                versions = {
                    name: version_of(words, session) for name, (words, _) in programs().items()
                }
    table = {
        name: Column(
            version=version,
            verdicts={environment: verdicts[name] for environment, verdicts in found.items()},
        )
        for name, version in versions.items()
    }
    save(table)
    assert load() == table


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text() == page(load())


def test_nestbox_starts_a_container_wherever_any_other_program_does() -> None:
    table = load()
    lost = {
        environment
        for name, column in table.items()
        for environment, verdict in column.verdicts.items()
        if verdict.works and not table[NESTBOX].verdicts[environment].works
    }
    assert lost <= _REFUSED


def test_nestbox_alone_starts_a_container_in_some() -> None:
    table = load()
    alone = [one.name for one in ENVIRONMENTS if works_alone(table, one.name)]
    assert len(alone) >= _ALONE, alone


@pytest.mark.parametrize("described", ENVIRONMENTS, ids=lambda one: one.name)
def test_the_table_says_what_nestbox_does_here(described: Environment, launches) -> None:
    if machine_class() != REFERENCE:
        pytest.skip("the table is of the reference machine, and this is another one")
    plain = next(one for one in launches(described) if one.ask == DEFAULT)
    assert load()[NESTBOX].verdicts[described.name].works == plain.starts
