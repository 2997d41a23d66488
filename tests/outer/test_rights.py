"""Capabilities come from two sources that agree, or not at all."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.errors import EnvironmentUnreadable
from nestbox.kernel.procfs import Status
from nestbox.kernel.syscalls import ThreadRights
from nestbox.outer.facts import CapabilitySets
from nestbox.outer.rights import check_last, compare

SETS = ("inheritable", "permitted", "effective", "bounding", "ambient")

STATUS = Status(
    name="test",
    umask=0o22,
    ppid=1,
    inheritable=0,
    permitted=0x3FFFFFFFFF,
    effective=0x3FFFFFFFFF,
    bounding=0x1FFFEFFFFFF,
    ambient=0,
    no_new_privs=False,
    seccomp=0,
    seccomp_filters=0,
)
KERNEL = ThreadRights(
    inheritable=0,
    permitted=0x3FFFFFFFFF,
    effective=0x3FFFFFFFFF,
    bounding=0x1FFFEFFFFFF,
    ambient=0,
    securebits=0x10,
    no_new_privs=False,
    last=40,
)


def test_rights_on_which_both_agree_are_taken():
    rights = compare(STATUS, KERNEL)
    assert rights.sets == CapabilitySets(
        inheritable=0,
        permitted=0x3FFFFFFFFF,
        effective=0x3FFFFFFFFF,
        bounding=0x1FFFEFFFFFF,
        ambient=0,
    )
    assert (rights.last, rights.securebits, rights.no_new_privs) == (40, 0x10, False)


@given(name=st.sampled_from(SETS), bit=st.integers(0, 63))
def test_one_bit_of_difference_in_any_set_is_refused(name, bit):
    changed = msgspec.structs.replace(STATUS, **{name: getattr(STATUS, name) ^ 1 << bit})
    with pytest.raises(EnvironmentUnreadable, match=f"the {name} set"):
        compare(changed, KERNEL)


def test_a_difference_in_no_new_privs_is_refused():
    with pytest.raises(EnvironmentUnreadable, match="no_new_privs"):
        compare(msgspec.structs.replace(STATUS, no_new_privs=True), KERNEL)


def test_a_kernel_that_does_not_show_no_new_privs_is_asked_alone():
    rights = compare(msgspec.structs.replace(STATUS, no_new_privs=None), KERNEL)
    assert rights.no_new_privs is False


def test_the_last_capability_is_compared_where_both_show_it():
    check_last(40, 40)
    check_last(None, 40)
    check_last(63, 63)
    with pytest.raises(EnvironmentUnreadable, match="cap_last_cap says 39"):
        check_last(39, 40)
