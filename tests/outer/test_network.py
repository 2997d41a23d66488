"""What a network could be made with: texts of resolv.conf and nft, and what this machine says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.outer.facts import Resolver
from nestbox.outer.network import is_stub, observe_network, parse_resolver
from nestbox.outer.nftables import lets_pass, parse_forward_drops
from tests.users import another_user

CHAINS = """table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
	}
}
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
	chain DOCKER-USER {
	}
}
table ip6 filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
table inet fw {
	chain in {
		type filter hook input priority filter; policy drop;
	}
	chain fwd {
		type filter hook forward priority filter; policy drop;
	}
}
"""


def test_a_resolvers_file_is_read_as_the_c_library_does() -> None:
    text = b"""# a comment
; another
nameserver 192.0.2.1
nameserver 192.0.2.1
nameserver fe80::1%eth0
nameserver nonsense
nameserver
domain a.example
search b.example c.example
options ndots:2 edns0
options edns0
"""
    assert parse_resolver(text) == Resolver(
        nameservers=("192.0.2.1", "fe80::1%eth0"),
        search=("b.example", "c.example"),
        options=("ndots:2", "edns0"),
    )


@given(st.binary(max_size=200))
def test_any_text_is_some_resolvers_file(text: bytes) -> None:
    assert all("\n" not in server for server in parse_resolver(text).nameservers)


def test_a_stub_is_known_by_its_addresses() -> None:
    assert is_stub(Resolver(nameservers=("127.0.0.53", "::1")))
    assert not is_stub(Resolver(nameservers=("127.0.0.53", "192.0.2.1")))


def test_chains_that_drop_what_is_forwarded_are_found() -> None:
    assert parse_forward_drops(CHAINS) == (("ip filter", "FORWARD"), ("inet fw", "fwd"))
    assert parse_forward_drops("") == ()


@pytest.mark.parametrize(
    ("lines", "passes"),
    [
        ((), False),
        (('iifname "nestbox*" accept',), False),
        (('iifname "nestbox*" accept', 'oifname "nestbox*" accept'), True),
        (('iifname "nestbox*" counter packets 0 bytes 0 accept', 'oifname "nestbox*" drop'), False),
        (('iifname "docker0" accept', 'oifname "docker0" accept'), False),
    ],
)
def test_a_table_that_lets_containers_pass_is_no_obstacle(
    lines: tuple[str, ...], passes: bool
) -> None:
    assert lets_pass("\n".join(lines)) is passes


def test_who_has_no_right_is_not_asked_about_nftables() -> None:
    assert observe_network(administrator=False).nftables is None


@pytest.mark.root
def test_this_machine_checks_the_table_of_a_container() -> None:
    seen = observe_network(administrator=True)
    assert seen.owned
    assert seen.nft
    assert seen.nftables is not None
    assert seen.nftables.works
    assert seen.veth is not None
    assert seen.veth.works


@pytest.mark.root
def test_who_may_make_no_network_namespace_makes_no_link() -> None:
    script = "from nestbox.kernel.trials import try_link; print(try_link())"
    done = subprocess.run(
        [*another_user(), sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert done.stdout == "EPERM\n"
