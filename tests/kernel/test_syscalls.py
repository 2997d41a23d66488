"""System calls on the real kernel: results, errors and the thread they act on."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from nestbox.kernel import constants, procfs, reading, syscalls


def _in_thread(function):
    """Return what a function returns in a thread of its own."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_the_kernel_and_proc_say_the_same_of_this_thread():
    rights = syscalls.thread_rights()
    status = procfs.parse_status(reading.read_proc("/proc/thread-self/status"))
    for name in ("inheritable", "permitted", "effective", "bounding", "ambient", "no_new_privs"):
        assert getattr(rights, name) == getattr(status, name), name
    assert syscalls.capget() == (rights.effective, rights.permitted, rights.inheritable)
    assert rights.last == int(reading.read_proc("/proc/sys/kernel/cap_last_cap"))


@pytest.mark.root
def test_capset_changes_the_sets_of_the_calling_thread_only():
    before = syscalls.thread_rights()
    kept = 1 << 7 | 1 << 21

    def drop():
        syscalls.capset(effective=1 << 7, permitted=kept, inheritable=1 << 21)
        syscalls.prctl(constants.PR_CAP_AMBIENT, constants.PR_CAP_AMBIENT_RAISE, 21)
        return syscalls.thread_rights(), reading.read_proc("/proc/thread-self/status")

    rights, text = _in_thread(drop)
    assert (rights.effective, rights.permitted, rights.inheritable) == (1 << 7, kept, 1 << 21)
    assert rights.ambient == 1 << 21
    assert procfs.parse_status(text).ambient == 1 << 21
    assert syscalls.thread_rights() == before


@pytest.mark.root
def test_securebits_and_no_new_privs_are_those_of_the_calling_thread():
    def lock():
        syscalls.prctl(constants.PR_SET_SECUREBITS, constants.SECBIT_NOROOT)
        syscalls.prctl(constants.PR_SET_NO_NEW_PRIVS, 1)
        return syscalls.thread_rights()

    rights = _in_thread(lock)
    assert rights.securebits == constants.SECBIT_NOROOT
    assert rights.no_new_privs is True
    assert syscalls.thread_rights().no_new_privs is False


@pytest.mark.root
def test_a_capability_dropped_from_bounding_is_missing_there_alone():
    def drop():
        syscalls.prctl(constants.PR_CAPBSET_DROP, 22)
        return syscalls.thread_rights()

    before, rights = syscalls.thread_rights(), _in_thread(drop)
    assert rights.bounding == before.bounding & ~(1 << 22)
    assert rights.permitted == before.permitted
    assert rights.last == before.last


def test_a_failure_is_an_os_error_with_the_path():
    with pytest.raises(FileNotFoundError) as caught:
        syscalls.openat2(constants.AT_FDCWD, "/no/such/file", os.O_PATH)
    assert caught.value.filename == "/no/such/file"
    assert caught.value.errno == errno.ENOENT


def test_both_paths_are_named_in_an_error():
    with pytest.raises(OSError, match="No such file") as caught:
        syscalls.mount("/no/source", "/no/target", "tmpfs")
    assert (caught.value.filename, caught.value.filename2) == ("/no/source", "/no/target")


@pytest.mark.parametrize("path", ["/etc\0/passwd", b"/etc\0/passwd"])
def test_a_path_with_a_null_byte_never_reaches_the_kernel(path):
    with pytest.raises(ValueError, match="null byte"):
        syscalls.openat2(constants.AT_FDCWD, path, os.O_PATH)


def test_openat2_resolves_inside_the_directory(tmp_path):
    (tmp_path / "secret").symlink_to("/etc/passwd")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(FileNotFoundError):
            syscalls.openat2(root, "secret", os.O_PATH, resolve=constants.RESOLVE_IN_ROOT)
        with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
            syscalls.openat2(root, "..", os.O_PATH, resolve=constants.RESOLVE_BENEATH)
    finally:
        os.close(root)


def test_the_type_of_a_file_system_is_read_from_the_descriptor():
    with open("/proc/self/status", "rb") as status, open("/usr/bin/env", "rb") as other:
        assert syscalls.fstatfs_type(status.fileno()) == constants.PROC_SUPER_MAGIC
        assert syscalls.fstatfs_type(other.fileno()) != constants.PROC_SUPER_MAGIC


def test_reading_as_proc_refuses_another_file_system():
    with pytest.raises(reading.NotProcfs):
        reading.read_proc("/usr/bin/env")


def test_reading_stops_at_the_limit(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100)
    assert reading.read_file(str(file), limit=100) == b"x" * 100
    with pytest.raises(OSError, match="larger than 99 bytes") as caught:
        reading.read_file(str(file), limit=99)
    assert caught.value.errno == errno.EFBIG


def test_the_owner_of_a_user_namespace_is_known_and_its_parent_out_of_sight():
    with open("/proc/self/ns/user", "rb") as namespace:
        assert syscalls.ns_get_owner_uid(namespace.fileno()) >= 0
        with pytest.raises(PermissionError):
            syscalls.ns_get_parent(namespace.fileno())


def test_the_parent_of_our_own_pid_namespace_is_out_of_sight():
    with open("/proc/self/ns/pid", "rb") as namespace, pytest.raises(PermissionError):
        syscalls.ns_get_parent(namespace.fileno())


def test_a_pidfd_signals_its_own_process():
    pidfd = syscalls.pidfd_open(os.getpid())
    try:
        syscalls.pidfd_send_signal(pidfd, 0)
    finally:
        os.close(pidfd)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        syscalls.pidfd_send_signal(pidfd, 0)


def test_close_range_closes_exactly_the_range():
    read, write = os.pipe()
    low = os.dup2(read, 200)
    high = os.dup2(write, 202)
    os.close(read)
    os.close(write)
    syscalls.close_range(200, 201)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(low)
    os.fstat(high)
    os.close(high)


def test_a_memfd_holds_what_was_written():
    fd = syscalls.memfd_create("test", constants.MFD_CLOEXEC)
    try:
        os.write(fd, b"text")
        assert os.pread(fd, 10, 0) == b"text"
        assert os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:test")
    finally:
        os.close(fd)


@pytest.mark.root
def test_the_new_mount_api_makes_and_attaches_a_mount_in_a_namespace_of_its_own(tmp_path):
    target = tmp_path / "target"
    target.mkdir()

    def mount():
        syscalls.unshare(constants.CLONE_NEWNS)
        syscalls.mount(None, "/", None, constants.MS_REC | constants.MS_PRIVATE)
        context = syscalls.fsopen("tmpfs", constants.FSOPEN_CLOEXEC)
        syscalls.fsconfig(context, constants.FSCONFIG_SET_STRING, "size", "64k")
        syscalls.fsconfig(context, constants.FSCONFIG_CMD_CREATE)
        fd = syscalls.fsmount(context, constants.FSMOUNT_CLOEXEC, constants.MOUNT_ATTR_NODEV)
        syscalls.mount_setattr(fd, "", constants.AT_EMPTY_PATH, set_=constants.MOUNT_ATTR_RDONLY)
        syscalls.move_mount(
            fd, "", constants.AT_FDCWD, str(target), constants.MOVE_MOUNT_F_EMPTY_PATH
        )
        os.close(fd)
        os.close(context)
        mounts = procfs.parse_mountinfo(reading.read_proc("/proc/thread-self/mountinfo"))
        syscalls.umount2(str(target), constants.MNT_DETACH)
        return [mount for mount in mounts if mount.target == str(target)]

    (found,) = _in_thread(mount)
    assert found.fstype == "tmpfs"
    assert {"ro", "nodev"} <= set(found.options)
    assert "size=64k" in found.super_options
    assert os.fsencode(str(target)) not in reading.read_proc("/proc/self/mountinfo")
