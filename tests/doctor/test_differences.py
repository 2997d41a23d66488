"""What differs between two environments."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nestbox.doctor.differences import Kind, Side, differences, render_differences
from nestbox.doctor.layout import Page
from nestbox.doctor.overview import overview
from nestbox.doctor.shipped import Shipped
from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import OuterEnvironment

Load = Callable[[str], OuterEnvironment]


def side(environment: OuterEnvironment, shipped: Shipped) -> Side:
    return Side(environment=environment, seen=overview(environment, shipped))


def without(environment: OuterEnvironment, name: str) -> OuterEnvironment:
    """Return the environment with a capability taken from every set."""
    facts = environment.capabilities
    assert facts is not None
    mask = ~(1 << BY_NAME[name])
    sets = {key: value & mask for key, value in msgspec.structs.asdict(facts.sets).items()}
    less = msgspec.structs.replace(facts, sets=msgspec.structs.replace(facts.sets, **sets))
    return msgspec.structs.replace(environment, capabilities=less)


def test_an_environment_does_not_differ_from_itself(
    recorded: str, load: Load, shipped: Shipped
) -> None:
    same = side(load(recorded), shipped)
    assert differences(same, same).found == ()
    assert render_differences(differences(same, same), Page()) == "nothing differs\n"


def test_a_capability_that_was_lost_is_one_difference_and_its_findings(
    load: Load, shipped: Shipped
) -> None:
    before = load("host")
    found = differences(side(before, shipped), side(without(before, "CAP_SYS_BOOT"), shipped)).found
    (lost,) = (one for one in found if one.kind is Kind.CAPABILITY)
    assert (lost.before, lost.after) == ("CAP_SYS_BOOT", "")
    assert lost.subject == "bounding, permitted, effective"
    assert any(one.kind is Kind.FINDING and one.remedy for one in found)
    assert [one.subject for one in found if one.kind is Kind.PROFILE] == ["privileged"]


def test_the_reverse_is_the_same_the_other_way_round(load: Load, shipped: Shipped) -> None:
    one, other = side(load("host"), shipped), side(load("docker-default"), shipped)
    there = {(d.kind, d.subject, d.before, d.after) for d in differences(one, other).found}
    back = {(d.kind, d.subject, d.after, d.before) for d in differences(other, one).found}
    assert there == back


def test_what_changes_at_each_start_is_no_difference(load: Load, shipped: Shipped) -> None:
    environment = load("host")
    assert environment.identity is not None
    assert environment.kernel is not None
    later = msgspec.structs.replace(
        environment,
        identity=msgspec.structs.replace(environment.identity, pid=4711),
        kernel=msgspec.structs.replace(environment.kernel, boot_id="another"),
    )
    found = differences(side(environment, shipped), side(later, shipped)).found
    assert found == ()


def test_text_fits_80_columns(load: Load, shipped: Shipped) -> None:
    found = differences(side(load("host"), shipped), side(load("docker-default"), shipped))
    text = render_differences(found, Page())
    assert max(map(len, text.splitlines())) <= 80
    assert "capability: bounding, permitted, effective\n" in text
