"""Pairs of addresses for links: none that is routed elsewhere, each of a name of its own."""

from __future__ import annotations

import ipaddress
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from nestbox.policy.network_addresses import BLOCKS, free_pairs

_LONGEST_NAME = 15  # IFNAMSIZ, without the NUL
NETWORKS = st.builds(
    lambda number, length: str(ipaddress.ip_network((number, length), strict=False)),
    st.integers(0, (1 << 32) - 1),
    st.integers(1, 32),
)


def test_the_first_pair_is_of_the_first_block() -> None:
    pair = next(free_pairs([]))
    assert (pair.outer, pair.inner) == ("10.224.0.2", "10.224.0.3")
    assert pair.interface == "nestbox0ae00002"


@given(st.lists(NETWORKS, max_size=5))
def test_no_pair_is_in_a_network_that_is_taken(taken: list[str]) -> None:
    networks = [ipaddress.ip_network(one) for one in taken]
    blocks = [ipaddress.ip_network(one) for one in BLOCKS]
    for pair in islice(free_pairs(taken), 20):
        ends = ipaddress.ip_network(f"{pair.outer}/31")
        assert ipaddress.ip_address(pair.inner) in ends
        assert any(ends.subnet_of(block) for block in blocks)
        assert not any(ends.overlaps(network) for network in networks)


def test_every_pair_has_an_interface_of_its_own() -> None:
    names = [pair.interface for pair in free_pairs([])]
    assert len(names) == len(set(names)) > 6000
    assert all(len(name) <= _LONGEST_NAME for name in names)


def test_a_link_that_exists_is_passed_over() -> None:
    assert next(free_pairs(["10.224.0.2/31"])).outer == "10.224.0.4"
    assert next(free_pairs(["10.224.0.5/32"])).outer == "10.224.0.2"
    assert next(free_pairs(["10.0.0.0/8"])).outer == "172.30.224.2"


def test_where_everything_is_routed_there_is_none() -> None:
    assert list(free_pairs(BLOCKS)) == []
    assert list(free_pairs(["0.0.0.0/1", "128.0.0.0/1"])) == []
