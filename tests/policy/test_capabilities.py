"""Every rule of the capability resolver."""

from __future__ import annotations

import time

import msgspec
import pytest

from nestbox.errors import EnvironmentUnreadable, UsageError
from nestbox.kernel.capabilities import BY_NAME, LAST_KNOWN, mask_up_to
from nestbox.outer.facts import Capabilities, CapabilitySets, Identity, OuterEnvironment
from nestbox.policy.capabilities import (
    CapabilityResolution,
    decide_capabilities,
)
from nestbox.policy.capability_messages import notice_lines, refusal
from nestbox.policy.capability_wish import CapabilityAsk
from nestbox.policy.decision import CapabilityCause, Intent, Outcome, Scope
from nestbox.policy.prediction import (
    SECBIT_KEEP_CAPS_LOCKED,
    SECBIT_NO_CAP_AMBIENT_RAISE,
    SECBIT_NO_SETUID_FIXUP,
    SECBIT_NOROOT,
    predict_after_exec,
)
from nestbox.policy.profile import CapabilityGrant
from nestbox.policy.shipped_profiles import load_shipped

FULL = mask_up_to(LAST_KNOWN)
DOCKER_DEFAULT = 0xA80425FB  # what every docker container has in CapBnd


def bits(*names: str) -> int:
    return sum(1 << BY_NAME[f"CAP_{name}"] for name in names)


def outer(
    bounding: int = FULL,
    *,
    permitted: int | None = None,
    effective: int | None = None,
    ambient: int = 0,
    uid: int = 0,
    last: int = LAST_KNOWN,
    securebits: int = 0,
    no_new_privs: bool = False,
) -> OuterEnvironment:
    permitted = bounding if permitted is None else permitted
    sets = CapabilitySets(
        inheritable=ambient,
        permitted=permitted,
        effective=permitted if effective is None else effective,
        bounding=bounding,
        ambient=ambient,
    )
    return OuterEnvironment(
        capabilities=Capabilities(
            sets=sets, last=last, securebits=securebits, no_new_privs=no_new_privs
        ),
        identity=Identity(uid=uid, gid=uid, groups=(), pid=1234, umask=0o022),
    )


def ask(profile: str = "default", **changes: object) -> CapabilityAsk:
    shipped = load_shipped(profile)
    assert shipped is not None
    plain = CapabilityAsk(
        base=shipped.capabilities, profile=profile, privileged=profile == "privileged"
    )
    return msgspec.structs.replace(plain, **changes)


def custom(*grant: str, policy: Intent = Intent.LENIENT, ambient: bool = False) -> CapabilityAsk:
    return CapabilityAsk(
        base=CapabilityGrant(grant=grant, policy=policy, ambient=ambient), profile="custom"
    )


def refused(resolution: CapabilityResolution) -> set[str]:
    return {one.name.removeprefix("CAP_") for one in resolution.problems}


def root_sets(mask: int) -> CapabilitySets:
    return CapabilitySets(inheritable=0, permitted=mask, effective=mask, bounding=mask, ambient=0)


def test_default_is_what_docker_gives() -> None:
    resolution = decide_capabilities(ask(), outer())
    assert resolution.sets == root_sets(DOCKER_DEFAULT)
    assert resolution.drop_bounding == FULL & ~DOCKER_DEFAULT
    assert resolution.problems == ()
    assert notice_lines(resolution) == ()


def test_minimal_is_nothing_at_all() -> None:
    resolution = decide_capabilities(ask("minimal"), outer())
    assert resolution.sets == root_sets(0)
    assert resolution.drop_bounding == FULL


def test_privileged_is_exactly_what_is_there() -> None:
    here = FULL & ~bits("SYS_BOOT", "SYS_MODULE")
    resolution = decide_capabilities(ask("privileged"), outer(here))
    assert resolution.sets == root_sets(here)
    assert resolution.drop_bounding == 0
    assert notice_lines(resolution) == (
        "nestbox: privileged without CAP_SYS_MODULE, CAP_SYS_BOOT "
        "(not in the outer bounding set; nestbox explain NAME)",
    )


def test_add_by_name_is_refused_when_absent_and_lists_all() -> None:
    here = FULL & ~bits("SYS_BOOT", "SYS_MODULE")
    resolution = decide_capabilities(
        ask(adds=("SYS_BOOT", "sys_module", "NET_ADMIN", "45")), outer(here)
    )
    assert refused(resolution) == {"SYS_BOOT", "SYS_MODULE", "45"}
    causes = {one.name: one.cause for one in resolution.problems}
    assert causes["CAP_SYS_BOOT"] is CapabilityCause.NOT_IN_OUTER_BOUNDING
    assert causes["CAP_45"] is CapabilityCause.NEWER_THAN_KERNEL


@pytest.mark.parametrize("text", ["SYS_BOOT?", "22?", "ALL"])
def test_lenient_add_of_an_absent_one_is_weakened(text: str) -> None:
    resolution = decide_capabilities(ask(adds=(text,)), outer(FULL & ~bits("SYS_BOOT")))
    assert resolution.problems == ()
    decision = resolution.decision(22)
    assert decision is not None
    assert decision.outcome is Outcome.WEAKENED
    assert decision.asked_by == (f"--cap-add {text}",)
    assert "CAP_SYS_BOOT" in notice_lines(resolution)[0]


def test_a_name_asked_strictly_and_leniently_is_strict() -> None:
    resolution = decide_capabilities(
        ask(adds=("SYS_BOOT?", "SYS_BOOT")), outer(FULL & ~bits("SYS_BOOT"))
    )
    assert refused(resolution) == {"SYS_BOOT"}


def test_drop_of_an_absent_one_is_satisfied_and_noted() -> None:
    resolution = decide_capabilities(
        ask("privileged", drops=("SYS_BOOT", "50")), outer(FULL & ~bits("SYS_BOOT"))
    )
    assert resolution.problems == ()
    for number in (22, 50):
        decision = resolution.decision(number)
        assert decision is not None
        assert decision.outcome is Outcome.DROPPED
        assert decision.note == "dropped, and was absent already"
    assert notice_lines(resolution) == ()


def test_drop_all_and_add_is_exactly_what_was_added() -> None:
    resolution = decide_capabilities(ask(drops=("ALL",), adds=("NET_ADMIN", "KILL")), outer())
    assert resolution.sets == root_sets(bits("NET_ADMIN", "KILL"))


def test_add_all_and_drop_is_what_is_there_without_it() -> None:
    here = FULL & ~bits("SYS_BOOT")
    resolution = decide_capabilities(ask(adds=("ALL",), drops=("NET_RAW",)), outer(here))
    assert resolution.sets == root_sets(here & ~bits("NET_RAW"))


def test_privileged_and_drop_really_drops() -> None:
    resolution = decide_capabilities(ask("privileged", drops=("NET_RAW",)), outer())
    assert resolution.sets == root_sets(FULL & ~bits("NET_RAW"))


def test_privileged_and_add_requires_what_was_added() -> None:
    resolution = decide_capabilities(
        ask("privileged", adds=("SYS_BOOT",)), outer(FULL & ~bits("SYS_BOOT", "SYS_MODULE"))
    )
    assert refused(resolution) == {"SYS_BOOT"}


@pytest.mark.parametrize(
    ("adds", "drops"),
    [(("ALL",), ("ALL",)), (("KILL",), ("cap_kill",)), (("5?",), ("KILL",)), (("KILL",), ("5?",))],
)
def test_the_same_in_both_is_an_error(adds: tuple[str, ...], drops: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="in both"):
        decide_capabilities(ask(adds=adds, drops=drops), outer())


def test_strict_profile_is_refused_where_lenient_is_weakened() -> None:
    here = outer(FULL & ~bits("SYS_BOOT"))
    lenient = decide_capabilities(custom("SYS_BOOT", "KILL"), here)
    assert lenient.problems == ()
    assert lenient.sets == root_sets(bits("KILL"))
    strict = decide_capabilities(custom("SYS_BOOT", "KILL", policy=Intent.STRICT), here)
    assert refused(strict) == {"SYS_BOOT"}
    mark = decide_capabilities(custom("SYS_BOOT?", "KILL", policy=Intent.STRICT), here)
    assert mark.problems == ()
    dropped = msgspec.structs.replace(
        custom("SYS_BOOT", "KILL", policy=Intent.STRICT), drops=("SYS_BOOT",)
    )
    assert decide_capabilities(dropped, here).problems == ()


def test_strict_all_means_everything_the_kernel_has() -> None:
    strict = custom("ALL", policy=Intent.STRICT)
    assert decide_capabilities(strict, outer()).problems == ()
    assert refused(decide_capabilities(strict, outer(FULL & ~bits("BPF")))) == {"BPF"}


def test_one_in_bounding_but_not_permitted_is_left_out_of_every_set() -> None:
    here = outer(FULL, permitted=FULL & ~bits("SYS_BOOT"))
    resolution = decide_capabilities(ask("privileged"), here)
    assert resolution.sets == root_sets(FULL & ~bits("SYS_BOOT"))
    assert resolution.drop_bounding == bits("SYS_BOOT")
    named = decide_capabilities(ask(adds=("SYS_BOOT",)), here)
    assert [one.cause for one in named.problems] == [CapabilityCause.NOT_IN_OUTER_PERMITTED]


def test_one_permitted_but_not_in_bounding_is_not_granted() -> None:
    resolution = decide_capabilities(ask("privileged"), outer(FULL & ~bits("BPF"), permitted=FULL))
    assert resolution.sets == root_sets(FULL & ~bits("BPF"))


def test_a_nestbox_that_is_not_root_can_give_what_its_exec_keeps() -> None:
    mask = bits("KILL", "SETPCAP")
    lost = decide_capabilities(ask(adds=("KILL",)), outer(FULL, permitted=mask, uid=1000))
    assert refused(lost) >= {"KILL"}
    kept = decide_capabilities(
        ask(adds=("KILL",)), outer(FULL, permitted=mask, ambient=mask, uid=1000)
    )
    assert kept.problems == ()
    assert kept.sets == root_sets(mask)


class TestWithoutSetpcap:
    """The bounding set cannot be cut."""

    here = outer(bits("KILL", "CHOWN", "NET_RAW"))

    def test_what_is_left_in_bounding_is_weakened(self) -> None:
        resolution = decide_capabilities(custom("KILL"), self.here)
        assert resolution.problems == ()
        assert resolution.sets.permitted == bits("KILL")
        assert resolution.sets.bounding == bits("KILL", "CHOWN", "NET_RAW")
        assert resolution.drop_bounding == 0
        decision = resolution.decision(0)
        assert decision is not None
        assert decision.outcome is Outcome.WEAKENED
        assert decision.cause is CapabilityCause.NEEDS_SETPCAP
        assert decision.bounding.given
        assert not decision.permitted.given
        assert "bounding set keeps CAP_CHOWN, CAP_NET_RAW" in notice_lines(resolution)[0]

    def test_strict_profile_is_refused(self) -> None:
        resolution = decide_capabilities(custom("KILL", policy=Intent.STRICT), self.here)
        assert refused(resolution) == {"CHOWN", "NET_RAW"}

    def test_drop_that_cannot_be_done_is_refused(self) -> None:
        asked = msgspec.structs.replace(custom("KILL", "CHOWN", "NET_RAW"), drops=("CHOWN",))
        resolution = decide_capabilities(asked, self.here)
        assert refused(resolution) == {"CHOWN"}
        lenient = msgspec.structs.replace(asked, drops=("CHOWN?",))
        assert decide_capabilities(lenient, self.here).problems == ()

    def test_nothing_to_cut_is_no_loss(self) -> None:
        resolution = decide_capabilities(ask("privileged"), self.here)
        assert resolution.sets == root_sets(bits("KILL", "CHOWN", "NET_RAW"))
        assert len(notice_lines(resolution)) == 1  # about the absent ones

    def test_no_new_privs_is_told_to_hold_it_back(self) -> None:
        asked = msgspec.structs.replace(custom("KILL"), no_new_privs=True)
        decision = decide_capabilities(asked, self.here).decision(0)
        assert decision is not None
        assert "no_new_privs keeps programs from gaining it" in decision.detail

    def test_permitted_and_not_effective_is_not_enough(self) -> None:
        mask = bits("KILL", "SETPCAP", "CHOWN")
        resolution = decide_capabilities(custom("KILL"), outer(mask, effective=bits("KILL")))
        assert resolution.drop_bounding == 0

    def test_a_new_user_namespace_can_cut(self) -> None:
        asked = msgspec.structs.replace(custom("KILL"), new_user_namespace=True)
        assert decide_capabilities(asked, self.here).sets == root_sets(bits("KILL"))


class TestNonRoot:
    """The process of the container is not uid 0."""

    def test_bounding_only(self) -> None:
        resolution = decide_capabilities(ask(uid=1000), outer())
        assert resolution.sets == CapabilitySets(
            inheritable=0, permitted=0, effective=0, bounding=DOCKER_DEFAULT, ambient=0
        )
        decision = resolution.decision(0)
        assert decision is not None
        assert decision.outcome is Outcome.GRANTED
        assert decision.permitted.cause is CapabilityCause.NOT_ROOT
        assert decision.ambient.cause is CapabilityCause.NOT_AMBIENT
        assert decision.inheritable.cause is CapabilityCause.NOT_INHERITABLE
        assert notice_lines(resolution) == ()

    def test_a_named_one_that_only_files_give_is_told(self) -> None:
        resolution = decide_capabilities(ask(uid=1000, adds=("NET_ADMIN",)), outer())
        assert resolution.problems == ()
        (line,) = notice_lines(resolution)
        assert "CAP_NET_ADMIN" in line
        assert "file capabilities" in line
        limited = decide_capabilities(
            ask(uid=1000, adds=("NET_ADMIN",), no_new_privs=True), outer()
        )
        assert "no_new_privs" in notice_lines(limited)[0]

    def test_ambient_holds_the_explicit_adds_alone(self) -> None:
        resolution = decide_capabilities(
            ask(uid=1000, adds=("NET_ADMIN", "SYS_BOOT?"), ambient=True),
            outer(FULL & ~bits("SYS_BOOT")),
        )
        only = bits("NET_ADMIN")
        assert resolution.sets == CapabilitySets(
            inheritable=only,
            permitted=only,
            effective=only,
            bounding=DOCKER_DEFAULT | only,
            ambient=only,
        )

    def test_profile_can_ask_for_ambient_too_but_not_fill_it(self) -> None:
        asked = msgspec.structs.replace(custom("KILL", ambient=True), uid=1000, adds=("NET_ADMIN",))
        assert decide_capabilities(asked, outer()).sets.ambient == bits("NET_ADMIN")

    def test_root_gets_no_ambient(self) -> None:
        resolution = decide_capabilities(ask(adds=("NET_ADMIN",), ambient=True), outer())
        assert resolution.sets.ambient == 0
        assert resolution.sets.inheritable == 0
        assert "--ambient adds nothing" in notice_lines(resolution)[0]

    def test_ambient_without_adds_is_told(self) -> None:
        resolution = decide_capabilities(ask(uid=1000, ambient=True), outer())
        assert resolution.sets.ambient == 0
        assert "--ambient adds nothing" in notice_lines(resolution)[0]

    @pytest.mark.parametrize("securebits", [SECBIT_NO_CAP_AMBIENT_RAISE, SECBIT_KEEP_CAPS_LOCKED])
    def test_ambient_that_cannot_be_raised_is_refused_by_flag(self, securebits: int) -> None:
        asked = ask(uid=1000, adds=("NET_ADMIN",), ambient=True)
        resolution = decide_capabilities(asked, outer(securebits=securebits))
        assert [one.cause for one in resolution.problems] == [CapabilityCause.NOT_AMBIENT]
        profile = msgspec.structs.replace(custom("KILL", ambient=True), uid=1000, adds=("BPF",))
        weakened = decide_capabilities(profile, outer(securebits=securebits))
        assert weakened.problems == ()
        assert weakened.sets.ambient == 0

    def test_locked_keep_caps_does_not_matter_without_setuid_fixup(self) -> None:
        securebits = SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_SETUID_FIXUP
        asked = ask(uid=1000, adds=("NET_ADMIN",), ambient=True)
        assert decide_capabilities(asked, outer(securebits=securebits)).problems == ()

    def test_noroot_makes_uid_0_a_common_user(self) -> None:
        resolution = decide_capabilities(
            ask(adds=("NET_ADMIN",)), outer(ambient=FULL, securebits=SECBIT_NOROOT)
        )
        assert resolution.sets.permitted == 0
        assert resolution.sets.bounding == DOCKER_DEFAULT | bits("NET_ADMIN")
        assert "SECBIT_NOROOT" in notice_lines(resolution)[0]


class TestNewUserNamespace:
    """Everything can be set, and is power over that namespace alone."""

    def test_everything_can_be_had_whatever_is_missing_outside(self) -> None:
        asked = ask("privileged", new_user_namespace=True)
        resolution = decide_capabilities(asked, outer(0, uid=1000))
        assert resolution.sets == root_sets(FULL)
        assert resolution.scope is Scope.USERNS
        assert {one.scope for one in resolution.decisions} == {Scope.USERNS}

    def test_implied_without_effect_is_granted_and_said(self) -> None:
        resolution = decide_capabilities(ask("privileged", new_user_namespace=True), outer())
        decision = resolution.decision(BY_NAME["CAP_SYS_MODULE"])
        assert decision is not None
        assert decision.outcome is Outcome.GRANTED
        assert not decision.has_effect
        assert decision.cause is CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE
        net_admin = resolution.decision(BY_NAME["CAP_NET_ADMIN"])
        assert net_admin is not None
        assert net_admin.has_effect

    def test_named_without_effect_is_refused_unless_lenient(self) -> None:
        asked = ask(adds=("SYS_MODULE",), new_user_namespace=True)
        resolution = decide_capabilities(asked, outer())
        causes = [one.cause for one in resolution.problems]
        assert causes == [CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE]
        assert not resolution.sets.bounding & bits("SYS_MODULE")
        lenient = ask(adds=("SYS_MODULE?",), new_user_namespace=True)
        assert decide_capabilities(lenient, outer()).sets.effective & bits("SYS_MODULE")

    def test_securebits_outside_do_not_matter(self) -> None:
        asked = ask(new_user_namespace=True)
        resolution = decide_capabilities(asked, outer(securebits=SECBIT_NOROOT))
        assert resolution.sets == root_sets(DOCKER_DEFAULT)

    def test_newer_than_the_kernel_cannot_be_had_there_either(self) -> None:
        asked = ask(adds=("45",), new_user_namespace=True)
        causes = [one.cause for one in decide_capabilities(asked, outer()).problems]
        assert causes == [CapabilityCause.NEWER_THAN_KERNEL]


def test_capability_newer_than_the_table_is_given_where_the_kernel_has_it() -> None:
    newer = FULL | 1 << 41
    resolution = decide_capabilities(ask("privileged"), outer(newer, last=41))
    assert resolution.sets == root_sets(newer)
    decision = resolution.decision(41)
    assert decision is not None
    assert decision.name == "CAP_41"


def test_capability_older_kernels_lack_is_absent_with_that_cause() -> None:
    old = mask_up_to(36)
    resolution = decide_capabilities(ask("privileged"), outer(old, last=36))
    assert resolution.sets == root_sets(old)
    decision = resolution.decision(40)
    assert decision is not None
    assert decision.cause is CapabilityCause.NEWER_THAN_KERNEL
    named = decide_capabilities(ask(adds=("BPF",)), outer(old, last=36))
    assert [one.cause for one in named.problems] == [CapabilityCause.NEWER_THAN_KERNEL]


def test_there_is_a_decision_for_every_capability_and_each_named_one() -> None:
    resolution = decide_capabilities(ask(adds=("60?",), drops=("50",)), outer())
    assert [one.number for one in resolution.decisions] == [*range(LAST_KNOWN + 1), 50, 60]


def test_outer_no_new_privs_limits_what_the_executor_has_itself() -> None:
    here = outer(FULL, permitted=bits("KILL", "SETPCAP"), no_new_privs=True)
    resolution = decide_capabilities(ask("privileged"), here)
    assert resolution.sets == root_sets(bits("KILL", "SETPCAP"))


def test_unobserved_capabilities_are_an_error_and_never_everything() -> None:
    with pytest.raises(EnvironmentUnreadable):
        decide_capabilities(ask("privileged"), OuterEnvironment())


@pytest.mark.parametrize("profile", ["default", "minimal", "privileged"])
def test_root_has_after_exec_what_was_decided(profile: str) -> None:
    resolution = decide_capabilities(ask(profile), outer(FULL & ~bits("SYS_RESOURCE")))
    after = predict_after_exec(
        resolution.sets, uid=0, program=None, securebits=0, no_new_privs=False
    )
    assert after == resolution.sets
    assert after.effective == resolution.granted


@pytest.mark.parametrize("profile", ["default", "privileged"])
def test_deciding_is_fast_enough_for_every_launch(profile: str) -> None:
    asked, here = ask(profile), outer()
    best = 1.0
    for _ in range(50):
        begin = time.perf_counter()
        decide_capabilities(asked, here)
        best = min(best, time.perf_counter() - begin)
    assert best < 0.25e-3


def test_refusal_is_none_when_all_is_met() -> None:
    assert refusal(decide_capabilities(ask("privileged"), outer(0))) is None
