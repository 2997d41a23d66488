"""What a container says of itself, and how two of them differ."""

from __future__ import annotations

import pytest

from bench import bundle, inside

TEXT = """mnt:[1]
pid:[2]

Name:\tcat
CapEff:\t00000000a80425fb
CapBnd:\t00000000a80425fb
NoNewPrivs:\t1
Seccomp:\t2

64 42 254:0 /root / rw,relatime - ext4 /dev/vda rw
65 64 0:40 / /proc rw,nosuid - proc proc rw
70 64 0:44 / /sys ro,nosuid shared:1 - sysfs sysfs ro
71 65 0:6 /null /proc/keys rw,relatime - devtmpfs devtmpfs rw

0
1
10
"""


def test_the_probe_is_read() -> None:
    found = inside.parse(TEXT)
    assert found.namespaces == {"mnt:[1]", "pid:[2]"}
    assert found.bounding == found.effective == bundle.capability_mask()
    assert (found.seccomp, found.no_new_privileges) == (2, True)
    assert found.cgroup_shared
    assert found.mounts == {
        "/": "ext4 rw",
        "/proc": "proc rw",
        "/sys": "sysfs ro",
        "/proc/keys": "null device",
    }


@pytest.mark.parametrize("processes", ["1\n10\n", ""])
def test_a_cgroup_without_processes_from_outside_is_not_shared(processes: str) -> None:
    assert not inside.parse(TEXT.replace("0\n1\n10\n", processes)).cgroup_shared


@pytest.mark.parametrize("text", ["", "a\n\nb\n\n", TEXT.replace("CapBnd", "CapXyz")])
def test_what_is_not_the_probe_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        inside.parse(text)


def test_a_shared_namespace_is_named_by_its_kind() -> None:
    assert inside.shared_namespaces(inside.parse(TEXT), frozenset({"pid:[2]", "mnt:[9]"})) == [
        "pid"
    ]


def test_more_rights_and_a_filter_are_differences() -> None:
    found = inside.parse(TEXT)
    assert inside.privilege_differences(found, capabilities=0x1, filtered=False) == [
        "bounding set 0xa80425fb instead of 0x1",
        "effective set 0xa80425fb instead of 0x1",
        "has a seccomp filter",
        "sets no_new_privs",
    ]


def test_what_was_asked_for_is_no_difference_and_a_missing_filter_is() -> None:
    mask = bundle.capability_mask()
    found = inside.parse(TEXT.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0"))
    assert inside.privilege_differences(found, capabilities=mask, filtered=True) == []
    bare = inside.parse(TEXT.replace("Seccomp:\t2", "Seccomp:\t0"))
    assert "has no seccomp filter" in inside.privilege_differences(
        bare, capabilities=mask, filtered=True
    )


def test_mounts_are_compared_by_place_type_and_access() -> None:
    ours = {"/": "ext4 rw", "/sys": "sysfs ro", "/proc": "proc rw"}
    theirs = {"/": "ext4 rw", "/sys": "sysfs rw", "/dev": "tmpfs rw"}
    assert inside.mount_differences(ours, theirs) == [
        "1 more mounts: /dev",
        "1 fewer mounts: /proc",
        "other mounts: /sys (sysfs rw, not sysfs ro)",
    ]
    assert inside.mount_differences(ours, ours) == []
