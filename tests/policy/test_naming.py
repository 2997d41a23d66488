"""Host name and namespaces, where a filter or a kernel lacks what they need."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.outer.facts import OuterEnvironment, Seccomp, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.namespaces import decide_namespaces
from nestbox.policy.naming import decide_hostname
from nestbox.policy.wish import by_flag, by_nestbox
from tests.policy.surroundings import change, full_root

IMPLIED = by_nestbox("hostname", "box")
NAMED = by_flag("hostname", "box", "--hostname box")
ALL_KINDS = ("mnt", "pid", "ipc", "uts", "net", "cgroup", "time", "user")


def lacking(*kinds: str) -> OuterEnvironment:
    """Return an environment whose kernel was built without some kinds of namespaces."""
    shown = tuple(kind for kind in ALL_KINDS if kind not in kinds)
    return change(full_root(), kernel=msgspec.structs.replace(full_root().kernel, namespaces=shown))


def filtered() -> OuterEnvironment:
    trials = {"sethostname": Trial(error="EPERM")}
    return change(full_root(), seccomp=Seccomp(mode=2, filters=1, syscalls=trials))


def test_the_name_is_set_where_nothing_forbids_it() -> None:
    assert decide_hostname(IMPLIED, full_root()) == ("box", ())
    assert decide_hostname(NAMED, change(full_root(), seccomp=None)) == ("box", ())


@pytest.mark.parametrize("environment", [filtered(), lacking("uts")])
def test_a_name_that_cannot_be_set_is_kept_or_refused(environment: OuterEnvironment) -> None:
    name, (decision,) = decide_hostname(IMPLIED, environment)
    assert (name, decision.outcome) == (None, Outcome.WEAKENED)
    name, (decision,) = decide_hostname(NAMED, environment)
    assert (name, decision.outcome) == (None, Outcome.REFUSED)


def test_every_namespace_that_the_kernel_has_is_made() -> None:
    names, decisions = decide_namespaces(lacking(), user=True, pid=True, network=True)
    assert set(names) == set(ALL_KINDS) - {"time"}
    assert not decisions
    assert decide_namespaces(full_root(), user=True, pid=True, network=True) == (names, ())


@pytest.mark.parametrize("kind", ["ipc", "uts", "cgroup"])
def test_one_that_the_kernel_lacks_is_shared_and_told(kind: str) -> None:
    names, (decision,) = decide_namespaces(lacking(kind), user=False, pid=True, network=False)
    assert kind not in names
    assert decision.subject == f"{kind}-namespace"
    assert decision.outcome is Outcome.WEAKENED
    assert "CONFIG_" in decision.remedy
