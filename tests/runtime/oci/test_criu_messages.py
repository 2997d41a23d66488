"""Messages of CRIU's service, against bytes that protocol buffers define."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.runtime.oci.criu_messages import DUMP, NOTIFY, decode, encode


@pytest.mark.parametrize(
    ("message", "members", "data"),
    [
        ("request", {"type": DUMP}, "08 01"),
        ("request", {"type": 10, "notify_success": True}, "08 0a 18 01"),
        ("options", {"images_dir_fd": 300}, "08 ac 02"),
        ("options", {"images_dir_fd": -1}, "08 ff ff ff ff ff ff ff ff ff 01"),
        ("options", {"log_file": "a.log"}, "52 05 61 2e 6c 6f 67"),
        ("options", {"status_fd": 5}, "88 03 05"),  # a number above 15 takes two bytes
        ("options", {"external": ("a", "b")}, "aa 02 01 61 aa 02 01 62"),
        ("options", {"external": (), "pid": None}, ""),
        ("request", {"opts": {"pid": 7}}, "12 02 10 07"),
        ("options", {"ext_mnt": ({"key": "/k", "val": "/v"},)}, "ba 01 08 0a 02 2f 6b 12 02 2f 76"),
    ],
)
def test_encoding(message: str, members: dict[str, object], data: str) -> None:
    assert encode(message, members).hex(" ") == data


def test_decoding_passes_over_what_is_not_known() -> None:
    data = bytes.fromhex(
        "08 06 10 01"  # type NOTIFY, success
        "2a 0e 0a 0a 70 6f 73 74 2d 64 75 6d 70 21 10 2a"  # notify: script, pid 42
        "38 fe ff ff ff ff ff ff ff ff 01"  # cr_errno -2
        "5a 01 00 fd 06 00 00 00 00 f9 06 00 00 00 00 00 00 00 00"  # three members of later days
    )
    assert decode("response", data) == {
        "type": NOTIFY,
        "success": True,
        "notify": {"script": "post-dump!", "pid": 42},
        "cr_errno": -2,
    }


@pytest.mark.parametrize(
    "data",
    ["08", "0a", "4a 05 61", "08 ff ff ff ff ff ff ff ff ff ff 01", "0b", "48 01", "0a 01 08"],
)
def test_what_is_malformed_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match=r"cut short|too long|wire type|another type"):
        decode("response", bytes.fromhex(data))


def test_a_member_that_is_not_known_cannot_be_sent() -> None:
    with pytest.raises(KeyError):
        encode("request", {"nothing": 1})


@given(
    st.fixed_dictionaries(
        {"type": st.integers(0, 13), "success": st.booleans()},
        optional={
            "cr_errno": st.integers(-(1 << 31), (1 << 31) - 1),
            "cr_errmsg": st.text(),
            "restore": st.fixed_dictionaries({"pid": st.integers(0, 1 << 22)}),
            "notify": st.fixed_dictionaries({"script": st.text(), "pid": st.integers(0, 1 << 22)}),
        },
    )
)
def test_what_is_sent_is_received(members: dict[str, object]) -> None:
    assert decode("response", encode("response", members)) == members


@given(st.binary(max_size=64))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    try:
        decode("response", data)
    except ValueError:
        pass
