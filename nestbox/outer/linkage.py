"""What a program is linked with: its interpreter, and the shared libraries that it needs.

The file is read and never run: ``ldd`` runs it. Source: elf(5), ld.so(8).
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.elf.elffile import ELFFile

_DIRECTORIES: Final = (
    "/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib", "/lib32", "/usr/lib32",
)  # fmt: skip
_MOST_FILES: Final = 512  # of one program: more are not looked at
_MOST_SEGMENTS: Final = 1170  # Source: fs/binfmt_elf.c, load_elf_phdrs takes 64 KiB of them
_MOST_SECTIONS: Final = 4096
_MOST_TAGS: Final = 4096  # of a dynamic segment
_LARGEST: Final = 1 << 30  # bytes of a file
_SECONDS: Final = 5
_LDCONFIG: Final = ("/sbin/ldconfig", "/usr/sbin/ldconfig")
_SCRIPT_BYTES: Final = 256
_MOST_SCRIPTS: Final = 4  # Source: fs/exec.c, a chain of interpreters ends with ELOOP


class Linkage(msgspec.Struct, frozen=True, kw_only=True):
    """A program as the kernel and the loader see it."""

    path: str
    kind: str  # "elf", "script" or "other", which the kernel may still have a handler for
    machine: str = ""  # of an ELF file, as uname -m writes it where that is known
    scripts: tuple[str, ...] = ()  # the interpreters of a script, outer ones first
    interpreter: str = ""  # the loader that an ELF file asks for; empty when it is static
    absent: str = ""  # the interpreter that is not there
    libraries: tuple[str, ...] = ()  # paths of all that were found
    missing: tuple[str, ...] = ()  # names of those that were not


def observe_linkage(path: str, library_path: str = "") -> Linkage:
    """Return what a program is linked with; ``library_path`` is its LD_LIBRARY_PATH.

    Raises:
        OSError: the program cannot be read.
    """
    scripts: list[str] = []
    current = path
    while True:
        with _open(current) as file:
            start = file.read(_SCRIPT_BYTES)
            if start.startswith(b"\x7fELF"):
                found = _observe_elf(current, file, library_path)
                kind = "script" if scripts else "elf"
                return msgspec.structs.replace(found, path=path, kind=kind, scripts=tuple(scripts))
        interpreter = _script_interpreter(start)
        if interpreter is None or len(scripts) == _MOST_SCRIPTS:
            kind = "script" if scripts else "other"
            return Linkage(path=path, kind=kind, scripts=tuple(scripts))
        scripts.append(interpreter)
        if not _is_program(interpreter):
            return Linkage(path=path, kind="script", scripts=tuple(scripts), absent=interpreter)
        current = interpreter


def _open(path: str) -> BinaryIO:
    """Open a regular file. Raises OSError.

    Anything else is not even opened: to some devices that is an order, as to a watchdog.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        facts = os.fstat(place)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LARGEST:
            raise OSError(f"{path!r} is no regular file of a program's size")
        return os.fdopen(os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC), "rb")
    finally:
        os.close(place)


def _script_interpreter(start: bytes) -> str | None:
    if not start.startswith(b"#!"):
        return None
    words = start[2:].split(b"\n", 1)[0].split(None, 1)
    return os.fsdecode(words[0]) if words else None


def _is_program(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) and mode & 0o111 != 0


def _observe_elf(path: str, file: BinaryIO, library_path: str) -> Linkage:
    """Return what an ELF file needs, and what that needs."""
    first = _read_elf(path, file)
    if first is None:
        return Linkage(path=path, kind="other")
    absent = first.interpreter
    if not absent or _is_program(absent):
        absent = ""
    found: dict[str, str] = {}
    missing: dict[str, None] = {}
    cache = _cache() if first.needed else {}
    waiting = [(name, first) for name in first.needed]
    while waiting and len(found) < _MOST_FILES:
        name, asker = waiting.pop(0)
        if name in found or name in missing:
            continue
        library = _find_library(name, asker, first, library_path, cache)
        if library is None:
            missing[name] = None
            continue
        found[name] = library.path
        waiting += [(other, library) for other in library.needed]
    return Linkage(
        path=path,
        kind="elf",
        machine=first.machine,
        interpreter=first.interpreter,
        absent=absent,
        libraries=tuple(found.values()),
        missing=tuple(missing),
    )


class _Elf(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    machine: str
    bits: int
    interpreter: str
    needed: tuple[str, ...]
    run_path: tuple[str, ...]


_MACHINES: Final = {
    "EM_X86_64": "x86_64",
    "EM_386": "i686",
    "EM_AARCH64": "aarch64",
    "EM_ARM": "armv7l",
    "EM_RISCV": "riscv64",
    "EM_PPC64": "ppc64le",
    "EM_S390": "s390x",
}


def _read_elf(path: str, file: BinaryIO) -> _Elf | None:
    """Return the parts of an ELF file that count; None for one that is damaged."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(file)
        interpreter, needed, paths = _segments(elf)
    except (ELFError, ConstructError, OSError, *_DAMAGED):
        return None
    machine = str(elf["e_machine"])
    origin = os.path.dirname(os.path.realpath(path))
    return _Elf(
        path=path,
        machine=_MACHINES.get(machine, machine),
        bits=int(elf.elfclass),
        interpreter=interpreter,
        needed=needed,
        run_path=tuple(
            one.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for one in paths if one
        ),
    )


def _segments(elf: ELFFile) -> tuple[str, tuple[str, ...], list[str]]:
    """Return interpreter, names of libraries, and directories to look for them first."""
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.segments import InterpSegment

    if elf.num_segments() > _MOST_SEGMENTS:
        raise ValueError("more program headers than the kernel takes")
    if elf.num_sections() > _MOST_SECTIONS:  # the parser reads all, where the size of each can be 0
        raise ValueError("more sections than any program has")
    interpreter = ""
    needed: list[str] = []
    paths: list[str] = []
    for segment in elf.iter_segments():
        if isinstance(segment, InterpSegment):
            interpreter = str(segment.get_interp_name())
        elif isinstance(segment, DynamicSegment):
            for tag in islice(segment.iter_tags(), _MOST_TAGS):
                name = _TAGS.get(tag.entry.d_tag)
                if name == "needed":
                    needed.append(str(getattr(tag, name)))
                elif name is not None:
                    paths += str(getattr(tag, name)).split(":")
    return interpreter, tuple(needed), paths


# What else the parser meets in a damaged file, and does not look for.
_DAMAGED: Final = (AssertionError, AttributeError, KeyError, OverflowError, TypeError, ValueError)

# What the parser calls the text of each tag.
_TAGS: Final = {"DT_NEEDED": "needed", "DT_RUNPATH": "runpath", "DT_RPATH": "rpath"}


def _find_library(
    name: str, asker: _Elf, program: _Elf, library_path: str, cache: dict[str, list[str]]
) -> _Elf | None:
    """Return the first file of that name that fits the program's machine."""
    for path in _candidates(name, asker, library_path, cache):
        try:
            with _open(path) as file:
                found = _read_elf(path, file)
        except (OSError, ValueError):
            continue
        if found and (found.machine, found.bits) == (program.machine, program.bits):
            return found
    return None


def _candidates(
    name: str, asker: _Elf, library_path: str, cache: dict[str, list[str]]
) -> Iterator[str]:
    """Yield where a library may be, in the loader's order."""
    if "/" in name:
        yield name
        return
    for directory in (*asker.run_path, *library_path.split(":")):
        if directory.startswith("/"):
            yield f"{directory}/{name}"
    yield from cache.get(name, ())
    for directory in _DIRECTORIES:
        yield f"{directory}/{name}"


def _cache() -> dict[str, list[str]]:
    """Return the paths by name that the loader's cache has; nothing without one."""
    import subprocess

    program = next((path for path in _LDCONFIG if os.access(path, os.X_OK)), None)
    if program is None:
        return {}
    try:
        done = subprocess.run(
            [program, "-p"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={"LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, list[str]] = {}
    for line in os.fsdecode(done.stdout).splitlines():
        name, arrow, path = line.strip().partition(" => ")
        if arrow:
            found.setdefault(name.partition(" ")[0], []).append(path)
    return found
