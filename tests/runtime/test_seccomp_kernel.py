"""Compiled filters under the real kernel: what they stop, and which programs run under them."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nestbox.kernel import libseccomp
from nestbox.oci.seccomp import LinuxSeccomp, LinuxSyscall, SeccompAction
from nestbox.policy.seccomp import resolve
from nestbox.runtime.seccomp import compile_filter, forget_filters, read_profile

SHIPPED = Path(__file__).parents[2] / "profiles" / "seccomp"
KERNEL = (int(platform.release().split(".")[0]), int(platform.release().split(".")[1]))
# The capabilities of the usual engine default that the filter looks at.
USUAL = frozenset({"CAP_SYS_CHROOT"})

# Loads the program in file argv[1] (none when empty), then makes the calls in argv[2], each a list
# of a number and arguments, or executes argv[3:].
LOADER = """
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
calls = json.loads(sys.argv[2])
if sys.argv[1]:
    text = open(sys.argv[1], "rb").read()
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(len(text) // 8, text))):
        raise OSError(ctypes.get_errno(), "cannot load the filter")
if sys.argv[3:]:
    os.execvp(sys.argv[3], sys.argv[3:])
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
    return -ctypes.get_errno() if result < 0 else result
print(json.dumps([call(*entry) for entry in calls]))
"""

Call = tuple[str, *tuple[int, ...]]


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of files with a compiled shipped filter."""

    def make(name: str, capabilities: frozenset[str] = USUAL) -> Path:
        resolved = resolve(
            read_profile(str(SHIPPED / f"{name}.json")),
            capabilities=capabilities,
            machine=platform.machine(),
            kernel=KERNEL,
        )
        path = tmp_path / f"{name}.bpf"
        path.write_bytes(compile_filter(resolved, cache_directory=None).program)
        return path

    return make


def number(name: str) -> int:
    found = libseccomp.resolve_syscall(name)
    if found is None:
        found = libseccomp.newer_syscall(name)
    assert found is not None
    return found


def results(path: Path | None, *calls: Call) -> list[int]:
    """Return what each call returns in a child under the filter; -errno for a failure."""
    wire = [[number(name), *arguments] for name, *arguments in calls]
    return numbered(path, wire)


def numbered(path: Path | None, calls: list[list[int]]) -> list[int]:
    arguments = [str(path) if path else "", json.dumps(calls)]
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADER, *arguments], check=True, capture_output=True
    )
    answer: list[int] = json.loads(done.stdout)
    return answer


def execute(path: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", LOADER, str(path), "[]", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "TMPDIR": str(cwd)},
    )


@pytest.mark.parametrize("name", ["default", "strict"])
def test_filter_refuses_namespaces_mounts_and_keys(name: str, program: Callable[..., Path]) -> None:
    refusals: list[Call] = [
        ("unshare", 0x10000000),  # CLONE_NEWUSER
        ("unshare", 0),
        ("mount", 0, 0, 0, 0, 0),
        ("umount2", 0, 0),
        ("setns", -1, 0),
        ("clone", 0x10000011, 0, 0, 0, 0),
        ("bpf", -1, 0, 0),
        ("keyctl", -1, 0, 0),
        ("io_uring_setup", 0, 0),
        ("personality", 0x40000),
    ]
    assert results(program(name), *refusals) == [-errno.EPERM] * len(refusals)


@pytest.mark.parametrize("name", ["default", "strict"])
def test_filter_says_enosys_to_clone3_and_to_what_it_does_not_know(
    name: str, program: Callable[..., Path]
) -> None:
    path = program(name)
    assert results(path, ("clone3", 0, 0)) == [-errno.ENOSYS]
    assert results(None, ("clone3", 0, 0)) == [-errno.EINVAL]
    assert numbered(path, [[100000], [-1]]) == [-errno.ENOSYS] * 2


@pytest.mark.parametrize("name", ["default", "strict"])
def test_filter_lets_ordinary_calls_reach_the_kernel(
    name: str, program: Callable[..., Path]
) -> None:
    first, second, third = results(
        program(name), ("getpid",), ("close", -1), ("personality", 0xFFFFFFFF)
    )
    assert first > 1
    assert second == -errno.EBADF
    assert third >= 0


def test_granted_sys_admin_lets_mount_and_namespaces_reach_the_kernel(
    program: Callable[..., Path],
) -> None:
    path = program("default", frozenset({"CAP_SYS_ADMIN"}))
    calls: list[Call] = [("mount", 0, 0, 0, 0, 0), ("unshare", 0), ("clone3", 0, 0)]
    assert results(path, *calls) == [-errno.EFAULT, 0, -errno.EINVAL]


def test_socket_families_under_the_kernel(program: Callable[..., Path]) -> None:
    families: list[Call] = [("socket", 38, 5, 0), ("socket", 40, 1, 0), ("socket", 38 | 1 << 32, 5)]
    assert results(program("default"), *families) == [-errno.EPERM] * 3
    unix: list[Call] = [("socket", 1, 1, 0), ("socket", 2, 1, 0), ("socket", 10, 2, 0)]
    default, strict = results(program("default"), *unix), results(program("strict"), *unix)
    assert min(default[0], strict[0]) >= 0
    assert default[1:] == strict[1:]
    raw: list[Call] = [("socket", 2, 3, 1), ("socket", 17, 3, 0), ("socket", 16, 3, 0)]
    assert results(program("strict"), *raw) == [
        -errno.EPERM,
        -errno.EAFNOSUPPORT,
        -errno.EAFNOSUPPORT,
    ]
    assert results(program("default"), *raw) == results(None, *raw)


# With arguments that cannot succeed: a bad descriptor, a null pointer, an odd size.
NEWER: list[Call] = [
    ("cachestat", -1, 0, 0, 0),
    ("fchmodat2", -1, 0, 0, 0),
    ("map_shadow_stack", 1, 1, 1 << 40),
    ("futex_wake", 0, 0, 0, -1),
    ("futex_wait", 0, 0, 0, -1, 0, 0),
    ("futex_requeue", 0, -1, 0, 0),
    ("statmount", 0, 0, 0, -1),
    ("listmount", 0, 0, 0, -1),
    ("mseal", 1, 0, -1),
    ("setxattrat", -1, 0, -1, 0, 0, 0),
    ("getxattrat", -1, 0, -1, 0, 0, 0),
    ("listxattrat", -1, 0, -1, 0, 0),
    ("removexattrat", -1, 0, -1, 0),
    ("file_getattr", -1, 0, 0, 0, -1),
    ("file_setattr", -1, 0, 0, 0, -1),
]


def test_syscalls_newer_than_libseccomp_reach_the_kernel(program: Callable[..., Path]) -> None:
    expected = results(None, *NEWER)
    assert results(program("default"), *NEWER) == expected
    assert all(result < 0 for result in expected)
    if KERNEL >= (6, 17):
        optional = NEWER.index(("map_shadow_stack", 1, 1, 1 << 40))  # CONFIG_X86_USER_SHADOW_STACK
        known = [result for i, result in enumerate(expected) if i != optional]
        assert -errno.ENOSYS not in known


def test_syscall_newer_than_a_filter_that_refuses_with_eperm_answers_enosys(
    tmp_path: Path,
) -> None:
    path = tmp_path / "f.bpf"
    rule = LinuxSyscall(
        names=read_profile(str(SHIPPED / "default.json")).rules[0].syscall.names,
        action=SeccompAction.ALLOW,
    )
    seccomp = LinuxSeccomp(default_action=SeccompAction.ERRNO, syscalls=(rule,))
    path.write_bytes(compile_filter(seccomp, cache_directory=None).program)
    assert results(path, ("unshare", 0)) == [-errno.EPERM]
    assert numbered(path, [[1000]]) == [-errno.ENOSYS]


SCRIPT = """
set -e
echo hello | sort | tr a-z A-Z > a; cp -a a b; ln -s a c; ls -la; mkdir -p d/e; mv b d/e/; rm c
find . -name b -exec cat {} +; mkfifo f; chmod 600 a; touch -d yesterday a; stat a; df . ; du -sh .
(sleep 0 & wait); kill -0 $$; tar cf t.tar d; tar tf t.tar; date; id; nproc; timeout 5 true
"""
PYTHON = """
import threading, subprocess, socket, tempfile, multiprocessing, asyncio, os, sys, time
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
print(subprocess.run(["echo", "child"], capture_output=True, check=True).stdout)
server = socket.create_server(("127.0.0.1", 0)) if os.path.exists("/proc/net") else None
async def main(): await (await asyncio.create_subprocess_exec("true")).wait()
asyncio.run(main())
with multiprocessing.get_context("fork").Pool(1) as pool: print(pool.map(abs, [-1]))
tempfile.TemporaryFile().write(b"x"); os.sched_getaffinity(0); time.sleep(0)
"""
MAKEFILE = "all: hello\n\t./hello\n\nhello: hello.c\n\tgcc -O1 -pthread -o $@ $<\n"
HELLO = """#include <pthread.h>
#include <stdio.h>
static void *say(void *text) { puts(text); return NULL; }
int main(void) {
	pthread_t thread;
	return pthread_create(&thread, NULL, say, "hello") || pthread_join(thread, NULL);
}
"""
GIT = (
    "git init -q r && cd r && echo x > x && git add x &&"
    " git -c user.name=n -c user.email=e@example.org commit -qm m && git log --stat && git gc -q"
    " && git clone -q . ../s && git -C ../s status"
)


@pytest.mark.parametrize("name", ["default", "strict"])
@pytest.mark.parametrize(
    "command",
    [
        ("sh", "-c", SCRIPT),
        ("python3", "-c", PYTHON),
        ("make", "-j2"),
        ("sh", "-c", GIT),
    ],
    ids=["sh", "python3", "make", "git"],
)
def test_ordinary_programs_run(
    name: str, command: tuple[str, ...], program: Callable[..., Path], tmp_path: Path
) -> None:
    tool = "git" if command[-1] == GIT else command[0]
    if shutil.which(tool) is None or (tool == "make" and shutil.which("gcc") is None):
        pytest.skip(f"{tool} is not installed")
    work = tmp_path / "work"
    work.mkdir()
    (work / "Makefile").write_text(MAKEFILE)
    (work / "hello.c").write_text(HELLO)
    done = execute(program(name), *command, cwd=work)
    assert done.returncode == 0, done.stderr
    assert "Operation not permitted" not in done.stderr
    assert "Function not implemented" not in done.stderr


def test_missing_libseccomp_is_one_clear_error(tmp_path: Path) -> None:
    """A broken library first on the search path stands for an absent one."""
    (tmp_path / "libseccomp.so.2").write_bytes(b"not a library")
    code = (
        "from nestbox.errors import Refused\n"
        "from nestbox.oci.seccomp import LinuxSeccomp, SeccompAction\n"
        "from nestbox.runtime.seccomp import compile_filter\n"
        "try:\n"
        "    compile_filter(LinuxSeccomp(default_action=SeccompAction.ALLOW),\n"
        "                   cache_directory=None)\n"
        "except Refused as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
    )
    assert done.stdout.startswith("cannot compile the seccomp filter: cannot load libseccomp.so.2")
    assert "install the package libseccomp2" in done.stdout


def test_filters_do_not_depend_on_what_was_compiled_before(program: Callable[..., Path]) -> None:
    first = program("strict").read_bytes()
    program("default")
    forget_filters()
    assert program("strict").read_bytes() == first
