"""What doctor says of a network of the container's own, as the launch would."""

from __future__ import annotations

import msgspec

from nestbox.doctor.aspects import check_aspects
from nestbox.doctor.rehearsal import rehearse
from nestbox.doctor.report import Group, Verdict
from nestbox.doctor.shipped import Shipped
from tests.policy.surroundings import change, full_root


def test_a_machine_that_connects_a_container_has_no_finding(shipped: Shipped) -> None:
    checks = check_aspects(rehearse(full_root(), shipped))
    assert [one for one in checks if one.group is Group.NETWORK] == []


def test_what_stands_in_the_way_of_every_rung_is_one_finding(shipped: Shipped) -> None:
    facts = full_root().network
    nothing = msgspec.structs.replace(facts, nft=None, nftables=None, pasta=None, slirp4netns=None)
    checks = check_aspects(rehearse(change(full_root(), network=nothing), shipped))
    (found,) = [one for one in checks if one.group is Group.NETWORK]
    assert found.verdict is Verdict.DEGRADED
    assert found.affects == ("--network private",)
    assert "nft was not found" in found.cause
    assert "install the package nftables" in found.remedy


def test_an_older_recording_without_networks_is_no_finding(shipped: Shipped) -> None:
    checks = check_aspects(rehearse(change(full_root(), network=None), shipped))
    assert [one for one in checks if one.group is Group.NETWORK] == []
