"""The table of a container's link: what nft is told, and what is read back from it."""

from __future__ import annotations

import pytest

from nestbox.policy.launch_spec import PortSpec
from nestbox.policy.network_addresses import free_pairs
from nestbox.runtime.network.nft import new_table, parse_tables, remove_table, rules

PAIR = next(free_pairs([]))


def port(address: str) -> PortSpec:
    return PortSpec(protocol="tcp", address=address, outer=8080, inner=80)


def test_a_table_without_ports_has_no_chain_for_them() -> None:
    text = rules("nestbox_1", PAIR, ())
    assert "masquerade" in text
    assert "dnat" not in text


def test_nobody_gets_to_the_machines_loopback_by_the_link() -> None:
    assert f'iifname "{PAIR.interface}" ip daddr 127.0.0.0/8 drop' in rules("nestbox_1", PAIR, ())


def test_a_container_sends_only_what_is_its_own() -> None:
    text = rules("nestbox_1", PAIR, ())
    assert f'iifname "{PAIR.interface}" ip saddr != {PAIR.inner} drop' in text
    assert f'iifname "{PAIR.interface}" meta nfproto ipv6 drop' in text


def test_a_port_of_a_loopback_address_is_forwarded_for_the_machine_alone() -> None:
    text = rules("nestbox_1", PAIR, (port("127.0.0.1"),))
    assert text.count("dnat ip to 10.224.0.3:80") == 1
    assert "hook output" in text
    assert rules("nestbox_1", PAIR, (port(""),)).count("dnat ip to 10.224.0.3:80") == 2


def test_what_nft_lists_names_the_interface_of_each_table() -> None:
    text = rules("nestbox_1", PAIR, ()) + "table inet filter {\n  chain x {\n  iifname lo\n  }\n}\n"
    assert parse_tables(text) == {"nestbox_1": PAIR.interface}


@pytest.mark.parametrize("name", ["filter", "nestbox_1; flush ruleset", "nestbox_\n", "nestbox_é"])
def test_a_name_in_a_state_that_is_no_table_of_ours_is_not_given_to_nft(name: str) -> None:
    with pytest.raises(OSError, match="no table"):
        remove_table(name)


def test_no_two_containers_have_a_table_of_one_name() -> None:
    assert new_table() != new_table()
