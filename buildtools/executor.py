"""The build step that compiles the static executor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from glob import glob

from setuptools.errors import CompileError
from setuptools.modified import newer_group

from buildtools.step import BuildStep

DIRECTORY = "nestbox/executor"
EXECUTOR = f"{DIRECTORY}/nestbox-init"

# The macro is empty, as the line `#define _GNU_SOURCE` in a file makes it: the two may meet.
LANGUAGE = ("-std=c11", "-O2", "-D_GNU_SOURCE=")
WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wconversion",
    "-Wswitch-enum",
    "-Wmissing-prototypes",
    "-Wstrict-prototypes",
)
HARDENING = ("-fstack-protector-strong", "-fstack-clash-protection", "-D_FORTIFY_SOURCE=2")
# Static at a fixed address: as a position independent executable the same program relocates itself
# on each start, measured at 16 us. Sections that nothing uses and symbols are left out because the
# executor is copied into memory before it runs.
LINKING = (
    "-static",
    "-fno-pie",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wl,--gc-sections",
    "-Wl,-z,relro,-z,now,-z,noexecstack",
    "-Wl,--build-id=none",
    "-s",
)

_REMEDY = "it takes gcc and a static C library: apt-get install gcc libc6-dev musl-tools"


def sources() -> list[str]:
    """Return the C files of the executor."""
    return sorted(glob(f"{DIRECTORY}/*.c"))


def headers() -> list[str]:
    """Return the headers of the executor."""
    return sorted(glob(f"{DIRECTORY}/*.h"))


def compiler() -> list[str]:
    """Return the command that compiles C: ``$CC``, which may hold arguments, else musl-gcc or gcc.

    musl is preferred because of what a launch pays: with it an empty program starts in 190 us and
    the executor is 34 kB, with the GNU C library it is 590 us and 680 kB. musl-gcc hides
    the kernel's headers together with the GNU ones; musl's own still come first.
    """
    if chosen := shlex.split(os.environ.get("CC", "")):
        return chosen
    if not shutil.which("musl-gcc"):
        return ["gcc"]
    shown = subprocess.run(
        ["gcc", "-print-multiarch"], stdout=subprocess.PIPE, text=True, check=False
    )
    headers_of_system = [os.path.join("/usr/include", shown.stdout.strip()), "/usr/include"]
    return ["musl-gcc", *(f"-idirafter{path}" for path in headers_of_system)]


def compile_command(output: str) -> list[str]:
    """Return the command line that makes the executor.

    Warnings are shown and no more: a newer compiler knows more of them, and that must not stop
    anyone from installing. `make check` is where they are errors.
    CPPFLAGS, CFLAGS and LDFLAGS come last, so that a distribution's flags win over ours.
    """
    extra = [
        flag
        for name in ("CPPFLAGS", "CFLAGS", "LDFLAGS")
        for flag in shlex.split(os.environ.get(name, ""))
    ]
    flags = [*LANGUAGE, *WARNINGS, *HARDENING, *LINKING, *extra]
    return [*compiler(), *flags, "-o", output, *sources()]


class BuildExecutor(BuildStep):
    """Compiles ``nestbox/executor/*.c`` into one static program, if a source is newer than it."""

    description = "compile the static executor"

    def built_files(self) -> list[str]:
        """Return the path of the executor."""
        return [EXECUTOR]

    def get_source_files(self) -> list[str]:
        """Return the C files and headers."""
        return [*sources(), *headers()]

    def run(self) -> None:
        """Compile into a temporary file and move it into place.

        Raises:
            CompileError: the compiler is missing or failed.
        """
        output = self.place(EXECUTOR)
        if not self.force and not newer_group([*self.get_source_files(), __file__], output):
            return
        os.makedirs(os.path.dirname(output), exist_ok=True)
        temporary = f"{output}.new"
        command = compile_command(temporary)
        self.announce(shlex.join(command), 2)
        try:
            subprocess.run(command, check=True)
        except OSError as error:
            raise CompileError(f"cannot run {command[0]}: {error.strerror}; {_REMEDY}") from error
        except subprocess.CalledProcessError as error:
            raise CompileError(f"{command[0]} did not make the executor; {_REMEDY}") from error
        os.replace(temporary, output)
