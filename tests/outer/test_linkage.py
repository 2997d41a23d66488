"""What programs are linked with, told without running them."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import struct
import sys
import time
from pathlib import Path

import pytest

from nestbox.outer.linkage import observe_linkage

DYNAMIC = str(Path("/bin/ls").resolve())


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return a copy of a program that is linked dynamically, to be damaged."""
    copy = tmp_path / "program"
    shutil.copy(DYNAMIC, copy)
    return copy


def test_a_dynamic_program() -> None:
    found = observe_linkage(DYNAMIC)
    assert found.kind == "elf"
    assert found.machine == platform.machine()
    assert os.path.isfile(found.interpreter)
    assert (found.absent, found.missing) == ("", ())
    assert any(Path(path).name == "libc.so.6" for path in found.libraries)


def test_a_static_program_needs_nothing() -> None:
    busybox = shutil.which("busybox")
    assert busybox
    found = observe_linkage(busybox)
    assert (found.kind, found.interpreter, found.libraries) == ("elf", "", ())


def test_a_script_is_what_its_interpreter_is(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{sys.executable} -I\nprint()\n")
    found = observe_linkage(str(script))
    assert found.kind == "script"
    assert found.scripts == (sys.executable,)
    assert found.libraries


def test_a_script_whose_interpreter_is_not_there(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    assert observe_linkage(str(script)).absent == "/no/such/interpreter"


def test_scripts_of_scripts_come_to_an_end(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{script}\n")
    script.chmod(0o755)
    found = observe_linkage(str(script))
    assert set(found.scripts) == {str(script)}


def test_a_library_that_is_not_there(program: Path) -> None:
    program.write_bytes(program.read_bytes().replace(b"libc.so.6", b"libQ.so.6"))
    found = observe_linkage(str(program))
    assert "libQ.so.6" in found.missing


def test_a_library_is_found_by_its_variable(program: Path, tmp_path: Path) -> None:
    program.write_bytes(program.read_bytes().replace(b"libc.so.6", b"libQ.so.6"))
    libc = next(path for path in observe_linkage(DYNAMIC).libraries if "libc.so.6" in path)
    shutil.copy(libc, tmp_path / "libQ.so.6")
    assert observe_linkage(str(program), f"relative:{tmp_path}").missing == ()


def test_a_loader_that_is_not_there(program: Path) -> None:
    loader = observe_linkage(DYNAMIC).interpreter.encode()
    program.write_bytes(program.read_bytes().replace(loader, b"/Q" + loader[2:]))
    assert observe_linkage(str(program)).absent.startswith("/Q")


@pytest.mark.parametrize("length", [0, 4, 16, 63, 64, 100, 1000, 5000])
def test_a_program_that_is_cut_short(length: int, program: Path) -> None:
    os.truncate(program, length)
    assert observe_linkage(str(program)).kind in {"other", "elf"}


@pytest.mark.parametrize("place", range(16, 64))
def test_a_header_that_is_damaged(place: int, program: Path) -> None:
    data = bytearray(program.read_bytes())
    data[place] ^= 0xFF
    program.write_bytes(data)
    assert observe_linkage(str(program)).kind in {"other", "elf"}


def test_what_is_no_program_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "absent", Path("/dev/zero")):
        with pytest.raises(OSError, match=r".+"):
            observe_linkage(str(path))


def test_what_is_no_file_is_not_even_opened(tmp_path: Path) -> None:
    """The kernel opens no socket, so the error tells whether it was asked to."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="no regular file"):
            observe_linkage(str(tmp_path / "socket"))


def test_a_table_of_a_billion_sections_does_not_hold_us(program: Path) -> None:
    """A hole in a file costs nobody anything but the one who reads it."""
    data = bytearray(program.read_bytes())
    sections = struct.unpack_from("<Q", data, 0x28)[0]
    struct.pack_into("<H", data, 0x3C, 0)  # e_shnum: it is the sh_size of the first one
    struct.pack_into("<Q", data, sections + 0x20, 1 << 30)
    program.write_bytes(data)
    os.truncate(program, 1 << 30)
    start = time.process_time()
    assert observe_linkage(str(program)).libraries == ()
    assert time.process_time() - start < 5
