"""Kept filters: used when they are certainly ours and whole, compiled anew in every other case."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nestbox.errors import ProfileError
from nestbox.kernel import libseccomp
from nestbox.oci.seccomp import LinuxSeccomp, LinuxSyscall, SeccompAction
from nestbox.runtime.seccomp import (
    CompiledFilter,
    FilterOrigin,
    compile_filter,
    forget_filters,
    read_profile,
)

SECCOMP = LinuxSeccomp(
    default_action=SeccompAction.ERRNO,
    default_errno_ret=38,
    syscalls=(LinuxSyscall(names=("read", "frobnicate"), action=SeccompAction.ALLOW),),
)


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    forget_filters()
    yield
    forget_filters()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache directory with one kept filter in it."""
    directory = tmp_path / "filters"
    assert again(directory).origin is FilterOrigin.COMPILED
    return directory


def again(directory: Path, seccomp: LinuxSeccomp = SECCOMP) -> CompiledFilter:
    """Return the filter as a new process would."""
    forget_filters()
    return compile_filter(seccomp, cache_directory=str(directory))


def only_file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_kept_filter_is_the_compiled_one(cache: Path) -> None:
    fresh = compile_filter(SECCOMP, cache_directory=None)
    assert fresh.origin is FilterOrigin.MEMORY
    kept = again(cache)
    assert kept.origin is FilterOrigin.FILE
    assert (kept.program, kept.unknown, kept.flags) == (fresh.program, fresh.unknown, fresh.flags)
    assert kept.unknown == ("frobnicate",)


def test_cache_is_private(cache: Path) -> None:
    assert cache.stat().st_mode & 0o777 == 0o700
    assert only_file(cache).stat().st_mode & 0o777 == 0o600


def test_another_filter_is_kept_apart(cache: Path) -> None:
    other = msgspec.structs.replace(SECCOMP, default_errno_ret=1)
    assert again(cache, other).origin is FilterOrigin.COMPILED
    assert len(list(cache.iterdir())) == 2
    assert again(cache).program != again(cache, other).program


@pytest.mark.parametrize("position", [0, 20, 60, 200, -1])
def test_damaged_file_is_compiled_anew_and_replaced(cache: Path, position: int) -> None:
    path = only_file(cache)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[position] ^= 1
    path.write_bytes(damaged)
    assert again(cache).origin is FilterOrigin.COMPILED
    assert path.read_bytes() == whole
    assert again(cache).origin is FilterOrigin.FILE


@pytest.mark.parametrize("length", [0, 10, 100])
def test_cut_file_is_compiled_anew(cache: Path, length: int) -> None:
    path = only_file(cache)
    path.write_bytes(path.read_bytes()[:length])
    assert again(cache).origin is FilterOrigin.COMPILED


def test_file_of_another_filter_is_not_taken(cache: Path) -> None:
    other = msgspec.structs.replace(SECCOMP, default_errno_ret=1)
    first = only_file(cache)
    again(cache, other)
    (second,) = (path for path in cache.iterdir() if path != first)
    second.replace(first)
    assert again(cache).origin is FilterOrigin.COMPILED


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_directory_that_others_can_write_to_is_not_used(cache: Path, mode: int) -> None:
    cache.chmod(mode)
    assert again(cache).origin is FilterOrigin.COMPILED


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_file_that_others_can_write_to_is_not_used(cache: Path, mode: int) -> None:
    only_file(cache).chmod(mode)
    assert again(cache).origin is FilterOrigin.COMPILED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_another_user_owns_is_not_used(cache: Path) -> None:
    os.chown(only_file(cache), 12345, -1)
    assert again(cache).origin is FilterOrigin.COMPILED
    assert again(cache).origin is FilterOrigin.FILE
    os.chown(cache, 12345, -1)
    assert again(cache).origin is FilterOrigin.COMPILED


def test_symlinks_are_not_followed(cache: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(cache)
    assert again(link).origin is FilterOrigin.COMPILED
    path = only_file(cache)
    moved = path.rename(tmp_path / "elsewhere")
    path.symlink_to(moved)
    assert again(cache).origin is FilterOrigin.COMPILED
    assert not path.is_symlink()


def test_filter_of_another_libseccomp_is_compiled_anew(cache: Path, tmp_path: Path) -> None:
    program = (
        "import sys, nestbox.runtime.seccomp as s\n"
        "from msgspec.json import decode\n"
        "seccomp = decode(sys.argv[1], type=s.LinuxSeccomp)\n"
        "print(s.compile_filter(seccomp, cache_directory=sys.argv[2]).origin)\n"
    )
    library = tmp_path / "libseccomp.so.2"
    shutil.copy(libseccomp.library_path(), library)
    only_file(cache).unlink()
    done = subprocess.run(
        [sys.executable, "-c", program, msgspec.json.encode(SECCOMP).decode(), str(cache)],
        check=True,
        capture_output=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
    )
    assert done.stdout == b"compiled\n"
    assert again(cache).origin is FilterOrigin.FILE
    library.write_bytes(library.read_bytes() + b"upgraded")
    assert again(cache).origin is FilterOrigin.COMPILED


def test_missing_parent_directory_only_costs_the_cache(tmp_path: Path) -> None:
    result = again(tmp_path / "absent" / "filters")
    assert result.origin is FilterOrigin.COMPILED
    assert not (tmp_path / "absent").exists()


def test_directory_that_takes_no_files_only_costs_the_cache() -> None:
    assert again(Path("/proc/self")).origin is FilterOrigin.COMPILED


def test_second_use_in_a_process_needs_no_file(cache: Path) -> None:
    again(cache)
    only_file(cache).unlink()
    result = compile_filter(SECCOMP, cache_directory=str(cache))
    assert result.origin is FilterOrigin.MEMORY


def test_kept_filter_loads_neither_libseccomp_nor_its_binding(cache: Path) -> None:
    program = (
        "import sys, msgspec\n"
        "from nestbox.oci.seccomp import LinuxSeccomp\n"
        "from nestbox.runtime.seccomp import compile_filter\n"
        "seccomp = msgspec.json.decode(sys.argv[1], type=LinuxSeccomp)\n"
        "print(compile_filter(seccomp, cache_directory=sys.argv[2]).origin)\n"
        "print('libseccomp' in open('/proc/self/maps').read())\n"
        "heavy = ('cffi', '_cffi_backend', 'nestbox.kernel.libseccomp', 'json', 'hashlib',\n"
        "         'subprocess', 'tempfile', 'pathlib', 'difflib')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    text = msgspec.json.encode(SECCOMP).decode()
    done = subprocess.run(
        [sys.executable, "-c", program, text, str(cache)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["file", "False", "[]"]


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda path: path.mkdir(), "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b" " * (2 << 20)), "larger than"),
        (lambda path: None, "no such file"),
    ],
    ids=["directory", "fifo", "empty", "huge", "absent"],
)
def test_unreadable_profile_is_refused(tmp_path: Path, make: object, cause: str) -> None:
    path = tmp_path / "p.json"
    make(path)  # type: ignore[operator]
    with pytest.raises(ProfileError) as caught:
        read_profile(str(path))
    assert cause in caught.value.cause
    assert str(path) in caught.value.what


def test_nul_in_a_path_is_refused() -> None:
    with pytest.raises(ProfileError, match="null"):
        read_profile("a\0b")


def test_endless_profile_is_refused() -> None:
    with pytest.raises(ProfileError, match="not a regular file"):
        read_profile("/dev/zero")
