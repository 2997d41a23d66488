"""The report of doctor on recorded environments."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from nestbox.doctor.examine import examine
from nestbox.doctor.layout import Page
from nestbox.doctor.rehearsal import plain_request, rehearse
from nestbox.doctor.render import render
from nestbox.doctor.report import Group, Report, Verdict
from nestbox.doctor.shipped import ORDER, Shipped
from nestbox.outer.facts import OuterEnvironment, Subject
from nestbox.policy.capabilities import decide_capabilities
from nestbox.policy.capability_wish import CapabilityAsk
from nestbox.policy.decision import Outcome
from nestbox.policy.shipped_profiles import NAMES

Load = Callable[[str], OuterEnvironment]


def test_report_is_the_golden_text(
    recorded: str, load: Load, shipped: Shipped, is_golden: Callable[[str, str], None]
) -> None:
    report = examine(load(recorded), shipped)
    if report.fingerprint:  # it changes with the version of nestbox
        report = msgspec.structs.replace(report, fingerprint="0" * 32)
    is_golden(f"{recorded}.doctor", render(report, Page()))


def test_report_fits_80_columns(recorded: str, load: Load, shipped: Shipped) -> None:
    text = render(examine(load(recorded), shipped), Page())
    assert max(map(len, text.splitlines())) <= 80


def test_everything_that_is_not_well_has_a_cause_and_a_remedy(
    recorded: str, load: Load, shipped: Shipped
) -> None:
    report = examine(load(recorded), shipped)
    assert [
        check
        for check in report.checks
        if check.verdict is not Verdict.OK and not (check.cause or check.group is Group.PROFILES)
    ] == []
    assert [
        check for check in report.checks if check.verdict is not Verdict.OK and not check.remedy
    ] == []


def test_profiles_start_exactly_when_the_policy_says_so(
    recorded: str, load: Load, shipped: Shipped
) -> None:
    environment = load(recorded)
    report = examine(environment, shipped)
    verdicts = {
        check.subject: check.verdict for check in report.checks if check.group is Group.PROFILES
    }
    for rehearsal in rehearse(environment, shipped):
        if rehearsal.by_name:
            continue
        verdict = verdicts[rehearsal.label]
        if rehearsal.resolution is None:
            assert verdict is Verdict.UNKNOWN
        else:
            assert (verdict is Verdict.MISSING) == (rehearsal.resolution.launch is None)


def test_missing_capabilities_are_those_that_privileged_would_not_get(
    recorded: str, load: Load, shipped: Shipped
) -> None:
    environment = load(recorded)
    privileged = next(one for one in shipped.profiles if one.name == "privileged")
    ask = CapabilityAsk(base=privileged.capabilities, profile="privileged", privileged=True)
    absent = {
        decision.name
        for decision in decide_capabilities(ask, environment).decisions
        if decision.outcome is Outcome.WEAKENED
    }
    named = {
        name
        for check in examine(environment, shipped).checks
        if check.group is Group.CAPABILITIES and check.verdict is Verdict.MISSING
        for name in check.subject.split(", ")
    }
    assert named == absent


@pytest.mark.parametrize("subject", Subject)
def test_an_environment_without_one_subject_is_examined_as_far_as_it_goes(
    subject: Subject, load: Load, shipped: Shipped
) -> None:
    environment = msgspec.structs.replace(load("docker-default"), **{subject.value: None})
    report = examine(environment, shipped)
    assert render(report, Page())
    assert not report.healthy


def test_nothing_observed_is_unknown_and_not_well(shipped: Shipped) -> None:
    report = examine(OuterEnvironment(), shipped)
    assert {check.verdict for check in report.checks} == {Verdict.UNKNOWN}
    assert report.fingerprint is None


def test_a_whole_host_is_healthy_and_a_container_is_not(load: Load, shipped: Shipped) -> None:
    assert examine(load("host"), shipped).healthy
    assert not examine(load("docker-default"), shipped).healthy


def test_the_summary_comes_first_and_names_what_is_missing(load: Load, shipped: Shipped) -> None:
    text = render(examine(load("talos-privileged-pod"), shipped), Page(width=100))
    assert text.startswith(
        "41 capabilities known to this kernel; 3 missing: CAP_SYS_MODULE, CAP_SYS_BOOT, "
    )


def test_a_lost_capability_names_the_ancestor(load: Load, shipped: Shipped) -> None:
    report = examine(load("capabilities-only"), shipped)
    lost = [check for check in report.checks if check.subject == "CAP_SYS_BOOT"]
    assert [check.lost_at for check in lost] == ["pid 812 (capsh)"]


def test_remedies_are_those_of_the_engine_around_us(load: Load, shipped: Shipped) -> None:
    text = " ".join(render(examine(load("docker-default"), shipped), Page()).split())
    assert "docker run --cap-add SYS_ADMIN" in text
    assert "docker run --security-opt seccomp=unconfined" in text


def test_a_name_that_could_steer_a_terminal_is_escaped(load: Load, shipped: Shipped) -> None:
    environment = load("docker-default")
    assert environment.lsm is not None
    hostile = msgspec.structs.replace(environment.lsm, label="\x1b[2Jowned\n", apparmor_mode=None)
    changed = msgspec.structs.replace(environment, lsm=hostile)
    text = render(examine(changed, shipped), Page())
    assert "\x1b" not in text
    assert "\\x1b[2Jowned\\n" in text


def test_colour_changes_no_word(recorded: str, load: Load, shipped: Shipped) -> None:
    report = examine(load(recorded), shipped)
    coloured = render(report, Page(colour=True))
    for code in ("\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == render(report, Page())


def test_the_json_form_can_be_read_back(recorded: str, load: Load, shipped: Shipped) -> None:
    report = examine(load(recorded), shipped)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_every_shipped_profile_is_rehearsed() -> None:
    assert sorted(ORDER) == sorted(NAMES)
    assert plain_request("privileged").privileged
