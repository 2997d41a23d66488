"""Properties of every capability resolution, for random outer sets, profiles and flags.

What was asked for is worked out here a second time, with sets of numbers, from the rules alone.
"""

from __future__ import annotations

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nestbox.kernel.capabilities import is_initial_only, mask_of, mask_up_to, name_of, numbers_in
from nestbox.outer.facts import (
    Ancestor,
    Capabilities,
    CapabilitySets,
    Engine,
    EngineKind,
    Identity,
    OuterEnvironment,
)
from nestbox.policy.capabilities import (
    CapabilityResolution,
    decide_capabilities,
)
from nestbox.policy.capability_config import (
    SETS,
    ConfigAsk,
    ConfigCapabilities,
    decide_config_capabilities,
)
from nestbox.policy.capability_messages import absent_line, notice_lines, refusal
from nestbox.policy.capability_wish import CapabilityAsk
from nestbox.policy.decision import CapabilityCause, Intent, Outcome
from nestbox.policy.prediction import SECBIT_NOROOT, predict_after_exec
from nestbox.policy.profile import CapabilityGrant

# No deadline: a busy machine is no failure.
some = settings(max_examples=60, deadline=None)
HIGHEST = 45  # a few beyond the table
SETPCAP = 8


class Names(msgspec.Struct, frozen=True):
    """Names drawn at once with what they mean."""

    strict: frozenset[int] = frozenset()
    lenient: frozenset[int] = frozenset()
    everything: bool = False

    @property
    def numbers(self) -> frozenset[int]:
        return self.strict | self.lenient

    @property
    def texts(self) -> tuple[str, ...]:
        names = [name_of(number).removeprefix("CAP_").lower() for number in sorted(self.strict)]
        names += [f"{number}?" for number in sorted(self.lenient)]
        return (*names, "ALL") if self.everything else tuple(names)


NUMBERS = st.frozensets(st.integers(0, HIGHEST), max_size=8)
MASKS = st.one_of(
    st.integers(0, (1 << 41) - 1),
    NUMBERS.map(lambda numbers: mask_up_to(40) & ~mask_of(tuple(numbers))),
)


@st.composite
def names(draw: st.DrawFn) -> Names:
    """Draw names of flags or of a profile."""
    strict, lenient = draw(NUMBERS), draw(NUMBERS)
    return Names(strict, lenient - strict, draw(st.integers(0, 4)) == 0)


@st.composite
def environments(draw: st.DrawFn) -> OuterEnvironment:
    """Draw an outer environment as a kernel could show it."""
    last = draw(st.sampled_from([36, 40, 40, 40, 42]))
    known = mask_up_to(last)
    bounding, permitted = draw(MASKS) & known, draw(MASKS) & known
    if draw(st.booleans()):
        permitted = bounding
    ambient = permitted & draw(MASKS) if draw(st.integers(0, 3)) == 0 else 0
    sets = CapabilitySets(
        inheritable=ambient,
        permitted=permitted,
        effective=permitted if draw(st.booleans()) else permitted & draw(MASKS),
        bounding=bounding,
        ambient=ambient,
    )
    full = CapabilitySets(
        inheritable=0, permitted=known, effective=known, bounding=known, ambient=0
    )
    chain = [sets] * draw(st.integers(0, 2)) + [full] * draw(st.integers(0, 2))
    ancestry = tuple(
        Ancestor(
            pid=len(chain) - index,
            name=f"p{index}",
            sets=of,
            no_new_privs=False,
            seccomp_mode=0,
            user_namespace=None,
        )
        for index, of in enumerate(chain)
    )
    uid = draw(st.sampled_from([0, 0, 0, 1000]))
    return OuterEnvironment(
        capabilities=Capabilities(
            sets=sets,
            last=last,
            securebits=draw(st.sampled_from([0, 0, 0, SECBIT_NOROOT, 1 << 5, 1 << 6])),
            no_new_privs=draw(st.integers(0, 4)) == 0,
        ),
        ancestry=draw(st.sampled_from([None, ancestry])),
        identity=Identity(uid=uid, gid=uid, groups=(), pid=99, umask=0),
        engine=Engine(kind=draw(st.sampled_from(EngineKind)), evidence=(), runner=None),
    )


class Case(msgspec.Struct, frozen=True):
    """One request and what it means."""

    ask: CapabilityAsk
    base: Names
    adds: Names
    drops: Names
    environment: OuterEnvironment

    @property
    def facts(self) -> Capabilities:
        assert self.environment.capabilities is not None
        return self.environment.capabilities

    @property
    def known(self) -> frozenset[int]:
        return frozenset(range(self.facts.last + 1))

    def asked(self) -> frozenset[int]:
        """Return what was asked for and not dropped."""
        base = self.base.numbers | (self.known if self.base.everything else frozenset())
        added = self.adds.numbers | (self.known if self.adds.everything else frozenset())
        start = frozenset() if self.drops.everything else base
        return (start | added) - self.drops.numbers

    def strict(self) -> frozenset[int]:
        """Return what of it must be met."""
        strict = self.adds.strict
        if self.ask.base.policy is Intent.STRICT and not self.drops.everything:
            # A name marked as lenient stays so beside a strict ALL.
            everything = self.known - self.base.lenient if self.base.everything else frozenset()
            strict |= self.base.strict | everything
        return strict & self.asked()

    def resolve(self) -> CapabilityResolution:
        return decide_capabilities(self.ask, self.environment)


@st.composite
def cases(draw: st.DrawFn, *, user_namespace: bool | None = None) -> Case:
    """Draw a request whose flags do not contradict each other, and an environment."""
    base, adds, drawn = draw(names()), draw(names()), draw(names())
    drops = Names(
        drawn.strict - adds.numbers,
        drawn.lenient - adds.numbers,
        drawn.everything and not adds.everything,
    )
    asked = CapabilityAsk(
        base=CapabilityGrant(
            grant=base.texts,
            policy=draw(st.sampled_from(Intent)),
            ambient=draw(st.booleans()),
        ),
        profile="drawn",
        adds=adds.texts,
        drops=drops.texts,
        ambient=draw(st.booleans()),
        uid=draw(st.sampled_from([0, 0, 1000])),
        new_user_namespace=(
            draw(st.integers(0, 3)) == 0 if user_namespace is None else user_namespace
        ),
        no_new_privs=draw(st.booleans()),
    )
    return Case(asked, base, adds, drops, draw(environments()))


def can_cut(case: Case) -> bool:
    """Return whether the bounding set was cut, or there was nothing to cut."""
    resolution = case.resolve()
    return not resolution.sets.bounding & ~resolution.granted


@some
@given(cases())
def test_never_more_than_was_asked_for(case: Case) -> None:
    resolution = case.resolve()
    asked = mask_of(tuple(case.asked()))
    assert resolution.granted & ~asked == 0
    for mask in (resolution.sets.permitted, resolution.sets.effective, resolution.sets.ambient):
        assert mask & ~asked == 0
    kept = resolution.sets.bounding & ~asked
    told = mask_of(
        tuple(
            one.number
            for one in resolution.decisions
            if one.cause is CapabilityCause.NEEDS_SETPCAP
            or one.bounding.cause is CapabilityCause.NEEDS_SETPCAP
        )
    )
    assert kept & ~told == 0


@some
@given(cases(user_namespace=False))
def test_never_more_than_is_available_in_each_set(case: Case) -> None:
    resolution, outer = case.resolve(), case.facts.sets
    assert resolution.sets.bounding & ~outer.bounding == 0
    assert resolution.sets.permitted & ~(outer.permitted & outer.bounding) == 0
    assert resolution.granted & ~(outer.permitted & outer.bounding) == 0
    assert resolution.drop_bounding == outer.bounding & ~resolution.sets.bounding
    if not outer.effective >> SETPCAP & 1:
        assert resolution.drop_bounding == 0


@some
@given(cases(user_namespace=True))
def test_a_new_user_namespace_has_everything_the_kernel_knows(case: Case) -> None:
    resolution = case.resolve()
    known = mask_up_to(case.facts.last)
    assert resolution.sets.bounding == resolution.granted
    assert resolution.drop_bounding == known & ~resolution.granted
    for decision in resolution.decisions:
        if decision.outcome is Outcome.GRANTED:
            assert decision.has_effect != is_initial_only(decision.number)


@some
@given(cases())
def test_strict_is_met_in_full_or_listed_as_refused(case: Case) -> None:
    resolution = case.resolve()
    granted = set(numbers_in(resolution.granted))
    unmet = {one.number for one in resolution.problems if one.number in case.strict()}
    assert case.strict() - granted <= unmet
    # What is granted and yet refused could not be made ambient as --ambient asked.
    for number in unmet & granted:
        decision = resolution.decision(number)
        assert decision is not None
        assert decision.cause is CapabilityCause.NOT_AMBIENT
    error = refusal(resolution)
    assert (error is None) == (not resolution.problems)
    if error is not None:
        for problem in resolution.problems:
            assert problem.name in error.what
            assert problem.name in error.cause
        assert error.remedy


@some
@given(cases())
def test_what_is_dropped_is_gone_or_refused(case: Case) -> None:
    resolution = case.resolve()
    dropped = set(case.drops.strict)
    if case.drops.everything:
        dropped |= case.known - case.adds.numbers
    refused = {one.number for one in resolution.problems}
    for number in dropped:
        in_any = any(mask >> number & 1 for mask in msgspec.structs.astuple(resolution.sets))
        assert not in_any or number in refused


@some
@given(cases())
def test_nothing_lenient_stops_a_launch(case: Case) -> None:
    resolution = case.resolve()
    strict_drops = set(case.drops.strict)
    if case.drops.everything:
        strict_drops |= case.known
    for problem in resolution.problems:
        strict_profile = case.ask.base.policy is Intent.STRICT
        assert problem.number in case.strict() | strict_drops or strict_profile


@some
@given(cases())
def test_sets_are_such_as_the_kernel_takes(case: Case) -> None:
    sets = case.resolve().sets
    assert sets.effective & ~sets.permitted == 0
    assert sets.ambient & ~(sets.permitted & sets.inheritable) == 0
    assert sets.permitted & ~sets.bounding == 0
    assert sets.inheritable == sets.ambient


@some
@given(cases())
def test_ambient_and_inheritable_hold_explicit_adds_of_a_common_user_alone(case: Case) -> None:
    sets = case.resolve().sets
    wanted = case.ask.ambient or case.ask.base.ambient
    added = mask_of(tuple(case.adds.numbers))
    if case.adds.everything:
        added |= mask_up_to(case.facts.last)
    assert sets.ambient & ~added == 0
    noroot = case.facts.securebits & SECBIT_NOROOT and not case.ask.new_user_namespace
    if not wanted or (case.ask.uid == 0 and not noroot):
        assert sets.ambient == 0


@some
@given(cases())
def test_root_has_after_exec_exactly_what_was_granted(case: Case) -> None:
    assume(can_cut(case))
    resolution = case.resolve()
    facts = case.facts
    securebits = 0 if case.ask.new_user_namespace else facts.securebits
    after = predict_after_exec(
        resolution.sets,
        uid=case.ask.uid,
        program=None,
        securebits=securebits,
        no_new_privs=case.ask.no_new_privs or facts.no_new_privs,
    )
    if case.ask.uid == 0 and not securebits & SECBIT_NOROOT:
        assert after.permitted == after.effective == resolution.granted
    else:
        assert after.permitted == after.effective == resolution.sets.ambient


@some
@given(cases())
def test_each_decision_tells_what_is_in_each_set(case: Case) -> None:
    resolution = case.resolve()
    numbers = [one.number for one in resolution.decisions]
    assert numbers == sorted(set(numbers))
    assert case.known | case.asked() | case.drops.numbers <= set(numbers)
    for decision in resolution.decisions:
        for field in SETS:
            outcome = getattr(decision, field)
            assert outcome.given == bool(getattr(resolution.sets, field) >> decision.number & 1)
            assert outcome.given or outcome.cause
        if decision.outcome in (Outcome.REFUSED, Outcome.WEAKENED):
            assert decision.cause
            assert decision.detail
            assert decision.remedy
        asked = decision.number in case.asked()
        assert asked == (
            decision.outcome is Outcome.GRANTED
            or (
                decision.outcome in (Outcome.WEAKENED, Outcome.REFUSED)
                and decision.cause is not CapabilityCause.NEEDS_SETPCAP
            )
        )


@some
@given(cases())
def test_nothing_weakened_is_silent(case: Case) -> None:
    resolution = case.resolve()
    text = "\n".join(notice_lines(resolution))
    for decision in resolution.decisions:
        if decision.outcome is Outcome.WEAKENED:
            assert decision.name in text
    line = absent_line(resolution)
    assert line is None or line.startswith("nestbox: ")


@some
@given(cases())
def test_what_was_not_looked_for_changes_words_only(case: Case) -> None:
    full = case.resolve()
    bare = decide_capabilities(
        case.ask, msgspec.structs.replace(case.environment, ancestry=None, engine=None)
    )
    assert bare.sets == full.sets
    assert [(one.outcome, one.cause) for one in bare.decisions] == [
        (one.outcome, one.cause) for one in full.decisions
    ]


LISTS = st.builds(
    ConfigCapabilities,
    **{
        field: st.lists(
            st.one_of(
                st.integers(0, HIGHEST).map(name_of),
                st.sampled_from(["ALL_CAPS", "CAP_NO_SUCH", "CAP_CAP_KILL", ""]),
            ),
            max_size=10,
        ).map(tuple)
        for field in SETS
    },
)
CONFIG_ASKS = st.builds(
    ConfigAsk,
    lists=LISTS,
    strict=st.booleans(),
    uid=st.sampled_from([0, 1000]),
    new_user_namespace=st.booleans(),
    no_new_privs=st.booleans(),
)


@some
@given(ask=CONFIG_ASKS, environment=environments())
def test_config_gets_no_more_than_it_lists_and_than_there_is(
    ask: ConfigAsk, environment: OuterEnvironment
) -> None:
    resolution = decide_config_capabilities(ask, environment)
    facts = environment.capabilities
    assert facts is not None
    known = mask_up_to(facts.last)
    inside = ask.new_user_namespace
    for field in SETS:
        texts = getattr(ask.lists, field)
        listed = known if "ALL_CAPS" in texts else 0
        listed |= mask_of(tuple(n for n in range(HIGHEST + 1) if name_of(n) in texts))
        given_ = getattr(resolution.sets, field)
        limit = facts.sets.bounding if field == "bounding" else facts.sets.permitted
        assert given_ & ~(known if inside else limit) == 0
        cuttable = inside or resolution.drop_bounding or field != "bounding"
        assert not cuttable or given_ & ~listed == 0
    sets = resolution.sets
    assert sets.effective & ~sets.permitted == 0
    assert sets.ambient & ~(sets.permitted & sets.inheritable) == 0
    for decision in resolution.decisions:
        if decision.outcome in (Outcome.REFUSED, Outcome.WEAKENED):
            assert decision.cause
            assert decision.detail
            assert decision.remedy
    assert ask.strict or not resolution.problems
    assert len(resolution.notes) == sum(
        one.outcome is Outcome.WEAKENED for one in resolution.decisions
    )
