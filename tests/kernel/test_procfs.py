"""The parsers of /proc: texts of real kernels, documented forms, and anything else refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.kernel import procfs
from nestbox.kernel.procfs import CgroupLine, IdMapLine, MalformedText

# Linux 6.18, a shell of root without CAP_SYS_RESOURCE; the lines that matter and their neighbours.
STATUS = b"""Name:\tcat
Umask:\t0022
State:\tR (running)
Tgid:\t20713
Pid:\t20713
PPid:\t20708
Uid:\t0\t0\t0\t0
Groups:\t \nSigCgt:\t0000000000000000
CapInh:\t0000000000000000
CapPrm:\t000001fffeffffff
CapEff:\t000001fffeffffff
CapBnd:\t000001fffeffffff
CapAmb:\t0000000000000000
NoNewPrivs:\t0
Seccomp:\t2
Seccomp_filters:\t3
Speculation_Store_Bypass:\tvulnerable
"""

WITHOUT_SYS_RESOURCE = 0x1FFFEFFFFFF


def test_a_status_file_gives_the_five_sets_and_what_limits_them():
    status = procfs.parse_status(STATUS)
    assert status.name == "cat"
    assert status.umask == 0o022
    assert status.ppid == 20708
    assert status.inheritable == 0
    assert status.permitted == WITHOUT_SYS_RESOURCE
    assert status.effective == WITHOUT_SYS_RESOURCE
    assert status.bounding == WITHOUT_SYS_RESOURCE
    assert status.ambient == 0
    assert status.no_new_privs is False
    assert (status.seccomp, status.seccomp_filters) == (2, 3)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"Umask:\t0022\n", "umask"),
        (b"NoNewPrivs:\t0\n", "no_new_privs"),
        (b"Seccomp:\t2\n", "seccomp"),
        (b"Seccomp_filters:\t3\n", "seccomp_filters"),
    ],
)
def test_a_field_that_older_kernels_lack_is_none(line, field):
    assert getattr(procfs.parse_status(STATUS.replace(line, b"")), field) is None


@pytest.mark.parametrize("name", [b"PPid", b"CapInh", b"CapPrm", b"CapEff", b"CapBnd", b"CapAmb"])
def test_a_status_file_without_a_field_that_every_kernel_has_is_refused(name):
    lines = [line for line in STATUS.splitlines(keepends=True) if not line.startswith(name)]
    with pytest.raises(MalformedText, match=f"{name.decode()} is missing"):
        procfs.parse_status(b"".join(lines))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"CapBnd:\t000001fffeffffff", b"CapBnd:\tall"),
        (b"CapBnd:\t000001fffeffffff", b"CapBnd:\t-1"),
        (b"CapBnd:\t000001fffeffffff", b"CapBnd:\t0x1fffeffffff"),
        (b"CapBnd:\t000001fffeffffff", b"CapBnd:\t"),
        (b"CapBnd:\t000001fffeffffff", b"CapBnd:\t1000001fffeffffff"),
        (b"CapBnd:\t000001fffeffffff", b"CapBnd:\t000001fffe ffffff"),
        (b"NoNewPrivs:\t0", b"NoNewPrivs:\t2"),
        (b"NoNewPrivs:\t0", b"NoNewPrivs:\tno"),
        (b"PPid:\t20708", b"PPid:\t\xb2"),
        (b"Name:\tcat\n", b""),
    ],
)
def test_a_garbled_status_file_is_refused(old, new):
    assert old in STATUS
    with pytest.raises(MalformedText):
        procfs.parse_status(STATUS.replace(old, new))


@pytest.mark.parametrize("length", range(0, len(STATUS) - 1, 7))
def test_a_status_file_that_is_cut_off_is_refused(length):
    with pytest.raises(MalformedText):
        procfs.parse_status(STATUS[:length])


def test_a_process_cannot_forge_a_field_with_its_name():
    # The kernel writes a newline in a name as "\n" and a backslash as "\\".
    status = procfs.parse_status(STATUS.replace(b"cat", rb"x\nCapBnd:\\0"))
    assert status.name == "x\nCapBnd:\\0"
    assert status.bounding == WITHOUT_SYS_RESOURCE


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused_and_nothing_else(text):
    for parse in (
        procfs.parse_status,
        procfs.parse_mountinfo,
        procfs.parse_cgroup,
        procfs.parse_id_map,
        procfs.parse_number,
    ):
        try:
            parse(text)
        except MalformedText:
            continue


MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
29 26 0:26 / /dev/pts rw,relatime - devpts devpts rw,mode=600,ptmxmode=000
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue
40 31 0:37 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,name=systemd
61 27 0:45 / /mnt/with\040space\011tab\012line\134back\043hash rw - tmpfs  rw
70 27 0:4 net:[4026532281] /run/netns/x rw - nsfs nsfs rw
"""


def test_mountinfo_gives_each_mount_with_its_escapes_resolved():
    mounts = procfs.parse_mountinfo(MOUNTINFO)
    assert len(mounts) == 6
    assert mounts[0].target == "/proc"
    assert mounts[0].propagation == ()
    assert (mounts[2].id, mounts[2].parent, mounts[2].device) == (36, 35, "98:0")
    assert mounts[2].root == "/mnt1"
    assert mounts[2].propagation == ("master:1", "propagate_from:2")
    assert mounts[2].super_options == ("rw", "errors=continue")
    assert mounts[3].super_options == ("rw", "name=systemd")
    assert mounts[4].target == "/mnt/with space\ttab\nline\\back#hash"
    assert mounts[4].source == ""
    assert mounts[5].root == "net:[4026532281]"


@pytest.mark.parametrize(
    "line",
    [
        b"22 27 0:21 / /proc rw,relatime - proc proc\n",
        b"22 27 0:21 / /proc rw,relatime proc proc rw\n",
        b"x 27 0:21 / /proc rw,relatime - proc proc rw\n",
        b"22 27 21 / /proc rw,relatime - proc proc rw\n",
        b"22 27 0:21 / /proc rw,relatime - proc proc rw",
        b"22\n",
    ],
)
def test_a_line_of_mountinfo_in_another_form_is_refused(line):
    with pytest.raises(MalformedText):
        procfs.parse_mountinfo(line)


def _mangle(text: bytes, characters: bytes = b" \t\n\\#") -> bytes:
    """Escape as the kernel does (fs/proc_namespace.c, mangle)."""
    return b"".join(b"\\%03o" % byte if byte in characters else bytes([byte]) for byte in text)


_names = st.binary(min_size=1, max_size=20).map(lambda text: text.replace(b"\0", b""))
_words = _names.map(lambda text: text.replace(b",", b"")).filter(lambda text: text != b"")


@given(
    id=st.integers(0, 1 << 31),
    parent=st.integers(0, 1 << 31),
    root=_names,
    target=_names,
    options=st.lists(_words, min_size=1, max_size=3),
    propagation=st.lists(st.integers(1, 99).map(lambda n: b"shared:%d" % n), max_size=2),
    source=_names,
    super_options=st.lists(_words, min_size=1, max_size=3),
)
def test_every_mount_that_the_kernel_can_write_is_read_back(
    id, parent, root, target, options, propagation, source, super_options
):
    fields = [b"%d %d 8:1" % (id, parent), _mangle(b"/" + root), _mangle(b"/" + target)]
    fields += [b",".join(_mangle(word) for word in options), *propagation, b"-", b"ext4"]
    fields += [_mangle(source), b",".join(_mangle(word) for word in super_options)]
    (mount,) = procfs.parse_mountinfo(b" ".join(fields) + b"\n")
    assert (mount.id, mount.parent, mount.device, mount.fstype) == (id, parent, "8:1", "ext4")
    assert mount.root == procfs.decode(b"/" + root)
    assert mount.target.encode("utf-8", "surrogateescape") == b"/" + target
    assert mount.options == tuple(procfs.decode(word) for word in options)
    assert mount.propagation == tuple(procfs.decode(word) for word in propagation)
    assert mount.source == procfs.decode(source)
    assert mount.super_options == tuple(procfs.decode(word) for word in super_options)


def test_a_cgroup_file_gives_controllers_and_paths_even_with_colons():
    lines = procfs.parse_cgroup(b"9:name=systemd:/\n2:cpu,cpuacct:/a:b c\n0::/user.slice\n")
    assert lines == (
        CgroupLine(id=9, controllers=("name=systemd",), path="/"),
        CgroupLine(id=2, controllers=("cpu", "cpuacct"), path="/a:b c"),
        CgroupLine(id=0, controllers=(), path="/user.slice"),
    )


@pytest.mark.parametrize("text", [b"0:/\n", b"x::/\n", b"0::relative\n", b"0\n"])
def test_a_line_of_a_cgroup_file_in_another_form_is_refused(text):
    with pytest.raises(MalformedText):
        procfs.parse_cgroup(text)


def test_an_id_map_gives_its_rows():
    text = b"         0       1000          1\n         1     100000      65536\n"
    assert procfs.parse_id_map(text) == (
        IdMapLine(inside=0, outside=1000, count=1),
        IdMapLine(inside=1, outside=100000, count=65536),
    )
    assert procfs.parse_id_map(b"") == ()


@pytest.mark.parametrize("text", [b"0 0\n", b"0 0 -1\n", b"0 0 all\n", b"0 0 1 1\n"])
def test_an_id_map_in_another_form_is_refused(text):
    with pytest.raises(MalformedText):
        procfs.parse_id_map(text)


@pytest.mark.parametrize("text", [b"", b"\n", b"-1\n", b"4 0\n", b"forty\n", b"1" * 30])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(MalformedText):
        procfs.parse_number(text)
