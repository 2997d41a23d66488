"""-p, in every form that docker has and in those that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.errors import UsageError
from nestbox.flags.network import parse_port


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", [("tcp", "", None, 80)]),
        (":80", [("tcp", "", None, 80)]),
        ("8080:80", [("tcp", "", 8080, 80)]),
        ("5353:53/udp", [("udp", "", 5353, 53)]),
        ("8080:80/tcp", [("tcp", "", 8080, 80)]),
        ("127.0.0.1:8080:80", [("tcp", "127.0.0.1", 8080, 80)]),
        ("127.0.0.1::80", [("tcp", "127.0.0.1", None, 80)]),
        ("0.0.0.0:8080:80", [("tcp", "", 8080, 80)]),
        ("8000-8001:80-81", [("tcp", "", 8000, 80), ("tcp", "", 8001, 81)]),
        ("80-81", [("tcp", "", None, 80), ("tcp", "", None, 81)]),
    ],
)
def test_every_form_is_read(text: str, ports: list[tuple[str, str, int | None, int]]) -> None:
    found = [(one.protocol, one.address, one.outer, one.inner) for one in parse_port(text)]
    assert found == ports


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no port"),
        ("0", "no port"),
        ("65536", "no port"),
        ("-1", "no port"),
        ("٣:80", "no port"),
        ("8080:", "no port"),
        ("http:80", "no port"),
        ("9" * 5000, "no port"),
        ("80/sctp", "no protocol"),
        ("80/", "no protocol"),
        ("80/TCP", "no protocol"),
        ("1:2:3:4", "too many"),
        ("[::1]:80:80", "IPv6"),
        ("localhost:80:80", "no IPv4"),
        ("127.0.0.01:80:80", "no IPv4"),
        ("300.0.0.1:80:80", "no IPv4"),
        (("1" * 5000) + ".0.0.1:80:80", "no IPv4"),
        ("1.2.3:80:80", "no IPv4"),
        ("81-80", "backwards"),
        ("8000-8002:80-81", "3 outer ports for 2"),
        ("8000-8001:80", "2 outer ports for 1"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(text: str, cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        parse_port(text)


@given(st.text(alphabet="0123456789:./-tcpud[]", max_size=30))
def test_every_text_is_ports_or_an_error(text: str) -> None:
    try:
        ports = parse_port(text)
    except UsageError:
        return
    assert ports
    assert all(0 < port.inner < 65536 for port in ports)
