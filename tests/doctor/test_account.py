"""What explain says of a launch, from records made without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from nestbox.doctor.account import Account, account_of
from nestbox.doctor.account_text import (
    CAUSES,
    SETS,
    render_account,
    render_capabilities,
    render_list,
)
from nestbox.doctor.layout import Page
from nestbox.doctor.rehearsal import plain_request
from nestbox.doctor.shipped import Shipped
from nestbox.kernel.capabilities import BY_NAME, TABLE
from nestbox.outer.facts import OuterEnvironment, RootFacts
from nestbox.policy.decision import CapabilityCause, Outcome
from nestbox.policy.prediction import predict_after_exec
from nestbox.policy.resolve import resolve, wanted_seccomp
from nestbox.runtime.record import Record

Load = Callable[[str], OuterEnvironment]
Make = Callable[..., Record]
ROOT = RootFacts(
    directory="/",
    passwd="root:x:0:0::/root:/bin/sh\n",
    group="root:x:0:\n",
    program=None,
)


@pytest.fixture
def make(load: Load, shipped: Shipped) -> Make:
    """Return a function that makes the record of a launch that ended well."""

    def made(environment: str, profile: str, *, error: str = "", **asked: Any) -> Record:
        facts = load(environment)
        request = msgspec.structs.replace(plain_request(profile), **asked)
        chosen = next(one for one in shipped.profiles if one.name == profile)
        resolution = resolve(
            request,
            chosen,
            facts,
            ROOT,
            container_id="web",
            seccomp_profile=shipped.filters.get(wanted_seccomp(request, chosen)),
        )
        sets = resolution.capabilities.sets
        return Record(
            id="web",
            nestbox="0.1.0",
            created="2026-01-02T03:04:05.678901Z",
            fingerprint="0" * 32,
            environment=facts,
            request=request,
            profile=profile,
            decisions=resolution.decisions,
            capabilities=resolution.capabilities.decisions,
            plan=(),
            plan_digest="",
            sets=None if error else sets,
            after_exec=predict_after_exec(
                sets, uid=0, program=None, securebits=0, no_new_privs=False
            ),
            pid=None if error else 99,
            phases={},
            exit_code=None if error else 3,
            error=error,
        )

    return made


@pytest.mark.parametrize(
    ("environment", "profile"),
    [
        ("talos-privileged-pod", "privileged"),
        ("talos-privileged-pod", "minimal"),
        ("unprivileged-user", "default"),
    ],
)
def test_account_is_the_golden_text(
    environment: str, profile: str, make: Make, is_golden: Callable[[str, str], None]
) -> None:
    text = render_account(account_of(make(environment, profile)), Page())
    assert max(map(len, text.splitlines())) <= 80
    is_golden(f"{environment}.{profile}.explain", text)


def test_one_capability_in_full_is_the_golden_text(
    make: Make, is_golden: Callable[[str, str], None]
) -> None:
    record = make(
        "talos-privileged-pod",
        "privileged",
        cap_drop=("MKNOD",),
        cap_add=("SYS_BOOT?", "SYS_ADMIN"),
    )
    wanted = frozenset(BY_NAME[name] for name in ("CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_MKNOD"))
    text = render_capabilities(account_of(record, wanted), Page())
    assert max(map(len, text.splitlines())) <= 80
    is_golden("capabilities.explain", text)


def test_all_41_capabilities_are_accounted_for(make: Make) -> None:
    account = account_of(make("docker-default", "default"))
    assert [one.decision.name for one in account.capabilities] == [row.name for row in TABLE]
    text = render_account(account, Page())
    assert [row.name for row in TABLE if row.name not in text] == []


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_each_capability_has_who_asked_five_sets_and_why_not_more(row: Any, make: Make) -> None:
    record = make("talos-privileged-pod", "default", cap_add=("SYS_BOOT?",), cap_drop=("MKNOD",))
    text = render_capabilities(account_of(record, frozenset({row.number})), Page())
    labels = {line[2:15].strip() for line in text.splitlines()}
    assert {"asked by", "outcome", *SETS, "read back", "after exec"} <= labels
    decision = record.capabilities[row.number]
    assert ("because" in labels) == (decision.outcome is not Outcome.GRANTED)
    assert ({"lost at", "try"} <= labels) == (decision.outcome is Outcome.WEAKENED)


def test_what_got_less_comes_before_what_was_granted(make: Make) -> None:
    account = account_of(make("talos-privileged-pod", "minimal"))
    outcomes = [decision.outcome for decision in account.decisions]
    assert outcomes.index(Outcome.GRANTED) == outcomes.count(Outcome.WEAKENED) > 0


def test_capabilities_lost_at_one_place_have_one_remedy(make: Make) -> None:
    account = account_of(make("talos-privileged-pod", "privileged"))
    assert [loss.names for loss in account.losses] == [
        ("CAP_SYS_MODULE", "CAP_SYS_BOOT", "CAP_SYS_RESOURCE")
    ]
    assert account.losses[0].lost_at
    assert account.losses[0].remedy


def test_a_failed_launch_is_told_and_its_sets_are_not_made_up(make: Make) -> None:
    record = make("host", "default", error="step 12 failed")
    text = render_account(account_of(record), Page())
    assert "did not start" in text
    assert "step 12 failed" in text
    assert "not read back" in text
    assert account_of(record).capabilities[0].read_back is None


def test_sets_that_were_read_back_are_shown_as_they_were(make: Make) -> None:
    record = make("host", "default")
    odd = msgspec.structs.replace(record.after_exec, bounding=1 << 22, inheritable=1 << 5)
    account = account_of(msgspec.structs.replace(record, sets=odd))
    member = account.capabilities[22].read_back
    assert member is not None
    assert member.letters == "---B-"
    assert "0000000000400000" in render_account(account, Page())


def test_a_hostile_command_is_escaped(make: Make) -> None:
    record = make("host", "default", argv=("sh", "-c", "\x1b]0;title\x07"))
    text = render_account(account_of(record), Page())
    assert "\x1b" not in text
    assert "\x07" not in text


def test_the_json_form_can_be_read_back(make: Make) -> None:
    account = account_of(make("talos-privileged-pod", "privileged"))
    assert msgspec.json.decode(msgspec.json.encode(account), type=Account) == account


def test_every_cause_has_words() -> None:
    assert set(CAUSES) == set(CapabilityCause)


def test_a_long_list_of_records_is_cut_and_says_so() -> None:
    rows: list[dict[str, object]] = [
        {
            "container": f"c{number}",
            "created": "2026-01-02T03:04:05.678901Z",
            "profile": "default",
            "exit_code": None,
            "error": "",
            "command": "x" * 200,
        }
        for number in range(25)
    ]
    lines = render_list(rows, Page()).splitlines()
    assert lines[-1] == "and 5 older ones, which -o json lists as well"
    assert len(lines) == 22
    assert max(map(len, lines)) <= 80
