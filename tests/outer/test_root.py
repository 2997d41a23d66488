"""The root of a launch, friendly and hostile."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys

import pytest

from nestbox.errors import UsageError
from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.root import (
    FILE_LIMIT_BYTES,
    observe_root,
    parse_file_capabilities,
)
from nestbox.policy.paths import candidates
from tests.users import another_user

PASSWD = "root:x:0:0::/root:/bin/sh\n"
PATH = "/usr/local/bin:/usr/bin:/bin"
BIND = 1 << BY_NAME["CAP_NET_BIND_SERVICE"]


@pytest.fixture
def root(tmp_path):
    """Return the directory of a small root."""
    directory = tmp_path / "root"
    (directory / "etc").mkdir(parents=True)
    (directory / "usr" / "bin").mkdir(parents=True)
    (directory / "bin").symlink_to("usr/bin")
    (directory / "etc" / "passwd").write_text(PASSWD)
    (directory / "etc" / "group").write_text("root:x:0:\n")
    shutil.copy("/bin/true", directory / "usr" / "bin" / "true")
    return directory


def _observe(root, argv0="true", path=PATH, **options):
    return observe_root(str(root), candidates(argv0, "/", path), **options)


def test_a_root_gives_its_accounts_and_its_program(root):
    found = _observe(root)
    assert found.directory == str(root)
    assert found.passwd == PASSWD
    assert found.group == "root:x:0:\n"
    assert found.program.path == "/usr/bin/true"
    assert found.program.setuid is None
    assert found.program.has_file_capabilities is False


def test_the_present_root_is_one(monkeypatch):
    found = observe_root("/", candidates("sh", "/", PATH))
    assert found.directory == "/"
    assert found.passwd == open_text("/etc/passwd")
    assert found.program.path in {"/usr/bin/sh", "/bin/sh"}


def open_text(path):
    with open(path) as file:
        return file.read()


def test_a_link_to_a_root_gives_its_real_path(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "slash").symlink_to("/")
    assert _observe(tmp_path / "link").directory == str(root)
    assert _observe(tmp_path / "slash").directory == "/"


def test_a_root_without_accounts_or_program_is_one_all_the_same(tmp_path):
    found = _observe(tmp_path)
    assert (found.passwd, found.group, found.program) == (None, None, None)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda path: None, "no such file or directory"),
        (lambda path: path.write_text(""), "it is not a directory"),
        (os.mkfifo, "it is not a directory"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (lambda path: path.symlink_to("/no/such/place"), "no such file or directory"),
    ],
    ids=["missing", "file", "pipe", "loop", "dangling"],
)
def test_what_cannot_be_a_root_is_refused_with_cause_and_remedy(tmp_path, make, cause):
    make(tmp_path / "root")
    with pytest.raises(UsageError) as caught:
        _observe(tmp_path / "root")
    assert caught.value.cause == cause
    assert str(tmp_path / "root") in caught.value.what
    assert caught.value.remedy


def test_a_path_with_a_null_byte_is_refused():
    with pytest.raises(UsageError, match="null byte"):
        _observe("/tmp\0x")


@pytest.mark.root
def test_a_root_that_may_not_be_read_is_refused(root):
    root.chmod(0o700)
    for parent in list(root.parents)[:-1]:
        if str(parent) != "/tmp":
            parent.chmod(0o755)
    script = (
        "import sys; from nestbox.errors import UsageError\n"
        "from nestbox.outer.root import observe_root\n"
        "try: observe_root(sys.argv[1], ('/bin/true',))\n"
        "except UsageError as error: print(error.cause)"
    )
    done = subprocess.run(
        [*another_user(), sys.executable, "-c", script, str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "it cannot be searched: permission denied\n", done.stderr


def _replace(root, make):
    path = root / "etc" / "passwd"
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../../../../../etc/passwd", "/proc/self/root/etc/passwd"]
)
def test_links_that_point_out_stay_inside(root, target):
    (root / "etc" / "group").unlink()
    (root / "etc" / "group").symlink_to(target)
    (root / "etc" / "passwd").write_text("inside:x:1:1::/:/bin/sh\n")
    found = _observe(root)
    assert found.group in {"inside:x:1:1::/:/bin/sh\n", None}


def test_a_directory_that_is_a_link_out_stays_inside(root):
    shutil.rmtree(root / "etc")
    (root / "etc").symlink_to("/etc")
    assert _observe(root).passwd is None


def test_a_magic_link_is_not_followed(root):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc/self/fd")
    _replace(root, lambda path: path.symlink_to("/proc/self/exe"))
    assert _observe(root).passwd is None
    # with the host's own proc inside
    found = observe_root("/", ("/proc/self/exe",))
    assert found.program is None


def _socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        cwd = os.getcwd()
        os.chdir(path.parent)
        try:
            listener.bind(path.name)
        finally:
            os.chdir(cwd)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (os.mkfifo, "not a regular file"),
        (os.mkdir, "not a regular file"),
        (_socket, "not a regular file"),
        (lambda path: path.write_bytes(b"x" * (FILE_LIMIT_BYTES + 1)), "larger than"),
        (lambda path: (path.touch(), os.truncate(path, 1 << 40)), "larger than"),
    ],
    ids=["pipe", "directory", "socket", "huge", "endless"],
)
def test_accounts_that_are_no_small_file_are_refused_without_waiting(root, make, cause):
    _replace(root, make)
    with pytest.raises(UsageError) as caught:
        _observe(root)
    assert cause in caught.value.cause
    assert "/etc/passwd" in caught.value.what
    assert caught.value.remedy


@pytest.mark.root
def test_accounts_that_are_a_device_are_not_opened(root):
    _replace(root, lambda path: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5)))
    with pytest.raises(UsageError, match="not a regular file"):
        _observe(root)


def test_the_largest_file_that_is_allowed_is_read_whole(root):
    (root / "etc" / "passwd").write_bytes(b"x" * FILE_LIMIT_BYTES)
    assert len(_observe(root).passwd) == FILE_LIMIT_BYTES


def test_accounts_in_any_bytes_are_read(root):
    (root / "etc" / "passwd").write_bytes(b"\xff:x:0:0::/:\n\0")
    assert _observe(root).passwd.encode("utf-8", "surrogateescape") == b"\xff:x:0:0::/:\n\0"


def test_a_file_that_nobody_may_execute_is_passed_over(root):
    local = root / "usr" / "local" / "bin"
    local.mkdir(parents=True)
    (local / "true").write_text("not a program")
    (local / "true").chmod(0o644)
    assert _observe(root).program.path == "/usr/bin/true"
    (local / "true").chmod(0o755)
    assert _observe(root).program.path == "/usr/local/bin/true"


@pytest.mark.parametrize("argv0", ["", ".", "..", "/", "/usr", "no\0such", "x" * 5000, "nothing"])
def test_what_is_no_program_is_none(root, argv0):
    assert _observe(root, argv0).program is None


def test_a_program_through_a_link_out_is_found_inside_only(root):
    (root / "usr" / "bin" / "out").symlink_to("/usr/bin/env")
    assert os.path.exists("/usr/bin/env")
    assert _observe(root, "out").program is None
    (root / "usr" / "bin" / "in").symlink_to("/usr/bin/true")
    assert _observe(root, "in").program.path == "/usr/bin/in"


@pytest.mark.root
def test_set_id_bits_are_seen_with_their_owner(root):
    program = root / "usr" / "bin" / "true"
    os.chown(program, 1234, 4321)
    program.chmod(0o6755)
    found = _observe(root).program
    assert (found.setuid, found.setgid) == (1234, 4321)
    program.chmod(0o2745)  # set-group-ID without group execute is no set-group-ID
    assert _observe(root).program.setgid is None


@pytest.mark.root
def test_file_capabilities_are_seen_as_setcap_wrote_them(root):
    program = root / "usr" / "bin" / "true"
    subprocess.run(["setcap", "cap_net_bind_service,cap_bpf=eip", program], check=True)
    found = _observe(root).program
    assert found.file_permitted == BIND | 1 << BY_NAME["CAP_BPF"]
    assert found.file_inheritable == found.file_permitted
    assert found.file_effective is True
    assert found.has_file_capabilities is True
    subprocess.run(["setcap", "cap_net_bind_service=p", program], check=True)
    found = _observe(root).program
    assert (found.file_permitted, found.file_inheritable) == (BIND, 0)
    assert found.file_effective is False


@pytest.mark.root
def test_file_capabilities_of_a_user_namespace_count_for_its_root_alone(root):
    program = root / "usr" / "bin" / "true"
    subprocess.run(["setcap", "-n", "100000", "cap_net_bind_service=ep", program], check=True)
    found = _observe(root).program
    assert (found.file_permitted, found.has_file_capabilities) == (0, False)
    found = _observe(root, root_uid=100000).program
    assert (found.file_permitted, found.has_file_capabilities) == (BIND, True)


@pytest.mark.root
def test_a_script_has_the_rights_of_its_interpreter(root):
    script = root / "usr" / "bin" / "script"
    script.write_text("#! /usr/bin/true -x\n")
    script.chmod(0o4755)
    assert _observe(root, "script").program.setuid is None
    (root / "usr" / "bin" / "true").chmod(0o4755)
    found = _observe(root, "script").program
    assert (found.path, found.setuid) == ("/usr/bin/script", 0)


def test_scripts_that_interpret_each_other_come_to_an_end(root):
    for name, other in (("a", "b"), ("b", "a")):
        script = root / "usr" / "bin" / name
        script.write_text(f"#!/usr/bin/{other}\n")
        script.chmod(0o755)
    assert _observe(root, "a").program.path == "/usr/bin/a"


def _attribute(*words):
    return struct.pack(f"<{len(words)}I", *words)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (_attribute(0x01000001, 1 << 10, 1), (1 << 10, 1, True)),
        (_attribute(0x02000000, 1, 2, 3, 4), (3 << 32 | 1, 4 << 32 | 2, False)),
        (_attribute(0x02000001, 1, 0, 0, 0), (1, 0, True)),
        (_attribute(0x03000001, 1, 0, 0, 0, 0), (1, 0, True)),
        (_attribute(0x03000001, 1, 0, 0, 0, 1000), None),
        (_attribute(0x02000001, 1, 0), None),
        (_attribute(0x04000001, 1, 0, 0, 0), None),
        (b"", None),
        (b"\1\0\0", None),
    ],
)
def test_the_attribute_is_read_as_the_header_describes(value, expected):
    assert parse_file_capabilities(value) == expected


def test_no_descriptor_is_left_open(root):
    before = len(os.listdir("/proc/self/fd"))
    _observe(root)
    _observe(root, "nothing")
    with pytest.raises(UsageError):
        _observe(root / "etc" / "passwd")
    assert len(os.listdir("/proc/self/fd")) == before
