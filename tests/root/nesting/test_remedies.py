"""Every refusal of the matrix: what it tells to do, done, is enough, and none of it is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from tests.root.nesting.catalogue import ENVIRONMENTS
from tests.root.nesting.description import Environment, Filter
from tests.root.nesting.matrix import Launch, launch
from tests.root.nesting.remedies import Case, changes_of, follow

Launches = dict[Case, Launch]


@pytest.fixture(scope="module")
def launched(enter) -> Callable[[Iterable[Case]], Launches]:
    """Return a function that launches cases, each once, and all of one environment together."""
    done: Launches = {}

    def of(cases: Iterable[Case]) -> Launches:
        wanted: dict[Environment, list[Case]] = {}
        for case in cases:
            if case not in done:
                wanted.setdefault(case.described, []).append(case)
        for described, members in wanted.items():
            with enter(described) as session:
                done.update({case: launch(session, case.ask) for case in members})
        return done

    return of


@pytest.mark.parametrize("described", ENVIRONMENTS, ids=lambda one: one.name)
def test_a_remedy_is_enough_and_no_more_than_that(
    described: Environment, launches, launched
) -> None:
    for one in launches(described):
        if one.told.refused is None:
            continue
        case = Case(described=replace(described, name="remedied", about=""), ask=one.ask)
        changes = changes_of(one.told.refused.remedy)
        assert changes, f"{one}: nothing to do"
        remedied = follow(case, changes)
        lesser = [follow(case, [kept for kept in changes if kept is not left]) for left in changes]
        done = launched([remedied, *(less for less in lesser if less != case)])
        if not done[remedied].starts and described.seccomp is not Filter.NONE:
            # What is behind a filter can be seen when the filter lets it be tried.
            remedied = follow(remedied, changes_of(done[remedied].told.refused.remedy))
            done = launched([remedied])
        assert done[remedied].starts, f"{one} was followed: {done[remedied]}"
        for less in lesser:
            assert less == case or not done[less].starts, f"{one}: less is enough: {less}"
