"""The five lists of a config.json: each clipped by the kernel's rule for it."""

from __future__ import annotations

import pytest

from nestbox.kernel.capabilities import LAST_KNOWN, mask_up_to
from nestbox.outer.facts import Capabilities, CapabilitySets, OuterEnvironment
from nestbox.policy.capability_config import (
    ConfigAsk,
    ConfigCapabilities,
    decide_config_capabilities,
)
from nestbox.policy.capability_messages import refusal
from nestbox.policy.decision import CapabilityCause, Outcome

FULL = mask_up_to(LAST_KNOWN)
CHOWN, KILL, SETPCAP, BOOT = 1, 1 << 5, 1 << 8, 1 << 22


def outer(bounding: int = FULL, permitted: int | None = None) -> OuterEnvironment:
    permitted = bounding if permitted is None else permitted
    sets = CapabilitySets(
        inheritable=0, permitted=permitted, effective=permitted, bounding=bounding, ambient=0
    )
    return OuterEnvironment(
        capabilities=Capabilities(sets=sets, last=LAST_KNOWN, securebits=0, no_new_privs=False)
    )


def lists(*names: str, **others: tuple[str, ...]) -> ConfigCapabilities:
    return ConfigCapabilities(bounding=names, permitted=names, effective=names, **others)


def test_absent_capabilities_are_the_empty_sets() -> None:
    resolution = decide_config_capabilities(ConfigAsk(), outer())
    assert resolution.sets == CapabilitySets(
        inheritable=0, permitted=0, effective=0, bounding=0, ambient=0
    )
    assert resolution.drop_bounding == FULL
    assert resolution.notes == ()


def test_each_list_becomes_its_set() -> None:
    config = ConfigCapabilities(
        bounding=("CAP_CHOWN", "CAP_KILL"),
        permitted=("CAP_KILL", "CAP_SYS_BOOT"),
        effective=("CAP_KILL",),
        inheritable=("CAP_KILL",),
        ambient=("CAP_KILL",),
    )
    resolution = decide_config_capabilities(ConfigAsk(lists=config, uid=1000), outer())
    assert resolution.sets == CapabilitySets(
        inheritable=KILL,
        permitted=KILL | BOOT,
        effective=KILL,
        bounding=CHOWN | KILL,
        ambient=KILL,
    )
    assert resolution.notes == ()


def test_unavailable_is_left_out_with_a_warning() -> None:
    ask = ConfigAsk(lists=lists("CAP_KILL", "CAP_SYS_BOOT"))
    resolution = decide_config_capabilities(ask, outer(FULL & ~BOOT))
    assert resolution.problems == ()
    assert resolution.sets.bounding == KILL
    (warning,) = resolution.notes
    assert "CAP_SYS_BOOT" in warning
    assert "outer bounding set" in warning


def test_strict_annotation_turns_warnings_into_one_refusal() -> None:
    ask = ConfigAsk(lists=lists("CAP_KILL", "CAP_SYS_BOOT", "CAP_NO_SUCH"), strict=True)
    error = refusal(decide_config_capabilities(ask, outer(FULL & ~BOOT)))
    assert error is not None
    assert "CAP_SYS_BOOT" in error.what
    assert "CAP_NO_SUCH" in error.what


@pytest.mark.parametrize("name", ["CAP_NO_SUCH", "CAP_CAP_KILL", "", "a\nb"])
def test_unknown_name_is_a_warning_and_a_decision(name: str) -> None:
    resolution = decide_config_capabilities(ConfigAsk(lists=lists("CAP_KILL", name)), outer())
    assert resolution.problems == ()
    assert resolution.sets.bounding == KILL
    unknown = resolution.decisions[-1]
    assert (unknown.cause, unknown.outcome) == (CapabilityCause.UNKNOWN_NAME, Outcome.WEAKENED)
    assert len(resolution.notes) == 1
    assert resolution.notes[0].isprintable()


def test_all_caps_is_what_can_be_granted_whatever_stands_beside_it() -> None:
    here = FULL & ~BOOT
    for names in (("ALL_CAPS",), ("ALL_CAPS", "CAP_SYS_BOOT"), ("CAP_KILL", "ALL_CAPS")):
        resolution = decide_config_capabilities(ConfigAsk(lists=lists(*names)), outer(here))
        assert resolution.sets.bounding == here
        assert resolution.sets.effective == here
        assert resolution.notes == ()


def test_inheritable_stays_within_bounding_since_root_would_gain_it() -> None:
    ask = ConfigAsk(lists=lists("CAP_KILL", inheritable=("CAP_KILL", "CAP_CHOWN")))
    resolution = decide_config_capabilities(ask, outer())
    assert resolution.sets.inheritable == KILL
    assert "CAP_CHOWN" in resolution.notes[0]


def test_ambient_needs_inheritable_and_permitted() -> None:
    ask = ConfigAsk(lists=lists("CAP_KILL", ambient=("CAP_KILL",)), uid=1000)
    resolution = decide_config_capabilities(ask, outer())
    assert resolution.sets.ambient == 0
    decision = resolution.decision(5)
    assert decision is not None
    assert decision.ambient.cause is CapabilityCause.NOT_INHERITABLE


def test_effective_beyond_permitted_is_clipped() -> None:
    config = ConfigCapabilities(bounding=("CAP_KILL",), permitted=(), effective=("CAP_KILL",))
    resolution = decide_config_capabilities(ConfigAsk(lists=config), outer())
    assert resolution.sets.effective == 0
    assert len(resolution.notes) == 1


def test_bounding_that_cannot_be_cut_is_told() -> None:
    resolution = decide_config_capabilities(ConfigAsk(lists=lists("CAP_KILL")), outer(CHOWN | KILL))
    assert resolution.sets.bounding == CHOWN | KILL
    assert resolution.drop_bounding == 0
    assert any("CAP_CHOWN" in note for note in resolution.notes)


def test_bounding_alone_is_not_given_what_we_have_not() -> None:
    resolution = decide_config_capabilities(
        ConfigAsk(lists=lists("ALL_CAPS")), outer(FULL, FULL & ~BOOT)
    )
    assert resolution.sets.bounding == FULL & ~BOOT


def test_everything_can_be_set_in_a_new_user_namespace() -> None:
    ask = ConfigAsk(lists=lists("CAP_SYS_BOOT", "CAP_KILL"), new_user_namespace=True)
    resolution = decide_config_capabilities(ask, outer(0))
    assert resolution.sets.effective == BOOT | KILL
    assert resolution.notes == ()
    assert SETPCAP & resolution.drop_bounding
