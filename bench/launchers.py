"""What is measured: each launcher runs a program in the same root with the same configuration."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from bench import bundle, hierarchies, process, programs
from bench.bundle import Restrictions
from bench.filters import Filter
from bench.hierarchies import Hierarchy

PROGRAM: Final = "/bin/true"
FLOOR: Final = "floor"
CRUN: Final = "crun"
RUNC: Final = "runc"
PYTHON: Final = "python"
COMMAND: Final = "command"
GLIBC_FLOOR: Final = "floor glibc"
BARE_PYTHON: Final = "bare python"
CRUN_NO_CGROUP: Final = "crun no cgroup"
BUBBLEWRAP: Final = "bubblewrap"
_SECCOMP_FD: Final = 9


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What all launchers of one table have in common."""

    work: Path  # scratch, removed with everything in it at the end
    root: Path
    restrictions: Restrictions
    cgroups: tuple[Hierarchy, ...]
    seccomp: Filter | None  # None is unconfined


class Launcher(Protocol):
    """One way to run a program in the root."""

    @property
    def name(self) -> str:
        """The name of its row."""

    @property
    def version(self) -> str:
        """What its program says of itself."""

    @property
    def contained(self) -> bool:
        """Whether it makes a container; what does not is there for comparison."""

    def launch(self) -> float:
        """Return the seconds that one launch of `true` took.

        Raises:
            LaunchFailedError: it did not end with status 0.
        """

    def look(self, argv: Sequence[str]) -> str:
        """Return what argv wrote when launched the same way, untimed."""

    def peak_kib(self, meter: str) -> int:
        """Return the peak resident KiB of the largest process of one launch.

        Args:
            meter: the program built from peak.c.
        """


class Command:
    """A launcher that is a command, timed as a whole process."""

    def __init__(
        self,
        name: str,
        version: str,
        command: Callable[[Sequence[str]], Sequence[str]],
        *,
        contained: bool = True,
        inputs: Mapping[int, str] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.contained = contained
        self._command = command
        self._inputs = inputs or {}

    def launch(self) -> float:
        """Return the seconds from the spawn of the command until it was reaped."""
        return process.run(self._command([PROGRAM]), inputs=self._inputs).seconds

    def look(self, argv: Sequence[str]) -> str:
        """Return what argv wrote when the command launched it."""
        return process.run(self._command(argv), inputs=self._inputs).stdout

    def peak_kib(self, meter: str) -> int:
        """Return the peak of the command and what it waited for."""
        done = process.run([meter, *self._command([PROGRAM])], inputs=self._inputs)
        return int(done.stdout.splitlines()[-1])


class FromPython:
    """`nestbox.run` in this process, timed from the call to its return."""

    name = PYTHON
    contained = True

    def __init__(self, setting: Setting) -> None:
        try:
            import nestbox
            from nestbox.errors import NestboxError

            self._run = nestbox.run
            self._refusal = NestboxError
        except (ImportError, AttributeError) as error:
            raise programs.NotAvailableError(f"nestbox cannot be imported: {error}") from error
        self._keywords = _keywords(setting)
        self.version = f"nestbox {_nestbox_version()}"

    def launch(self) -> float:
        """Return the seconds that one call of `nestbox.run` took."""
        start = time.perf_counter()
        self._done([PROGRAM])
        return time.perf_counter() - start

    def look(self, argv: Sequence[str]) -> str:
        """Return what argv wrote, as `nestbox.run` captured it."""
        return _text(self._done(list(argv)).stdout)

    def peak_kib(self, meter: str) -> int:
        """Return the peak of an interpreter that does nothing but one launch."""
        call = f"import nestbox; nestbox.run([{PROGRAM!r}], **{self._keywords!r})"
        return int(process.run([meter, sys.executable, "-c", call]).stdout.splitlines()[-1])

    def _done(self, argv: list[str]) -> Any:
        try:
            done = self._run(argv, **self._keywords)
        except self._refusal as error:
            raise process.LaunchFailedError(f"nestbox.run refused: {error}") from error
        if done.exit_code != 0:
            text = _text(done.stderr).strip()
            raise process.LaunchFailedError(f"nestbox.run ended with {done.exit_code}: {text}")
        return done


def available(setting: Setting, wanted: Callable[[str], bool]) -> tuple[list[Launcher], list[str]]:
    """Return the wanted launchers of this machine, and a line for each that it lacks."""
    found: list[Launcher] = []
    absent: list[str] = []
    for name, make in _MAKERS.items():
        if not wanted(name):
            continue
        try:
            found.append(make(setting))
        except programs.NotAvailableError as error:
            absent.append(f"{name} is left out: {error}")
    return found, absent


def _floor(setting: Setting) -> Command:
    """Return the floor with the C library that starts fastest here.

    In a virtual machine each `cpuid` traps, and a static glibc program runs tens of them before
    its main: that is not a cost of launching.
    """
    return _compiled_floor(FLOOR, "musl-gcc" if shutil.which("musl-gcc") else "gcc", setting)


def _glibc_floor(setting: Setting) -> Command:
    if shutil.which("musl-gcc") is None:
        raise programs.NotAvailableError("the floor itself is built with gcc, musl-gcc is missing")
    return _compiled_floor(GLIBC_FLOOR, "gcc", setting)


def _compiled_floor(name: str, compiler: str, setting: Setting) -> Command:
    binary = programs.build(compiler, "floor.c", setting.work / name.replace(" ", "-"))
    paths = setting.restrictions
    changes = [
        *hierarchies.mounts(setting.cgroups),
        *(f"f:{path}" for path in paths.masked_files),
        *(f"d:{path}" for path in paths.masked_directories),
        *(f"r:{path}" for path in paths.read_only),
    ]
    head = [str(binary), str(setting.root), *changes, "--"]
    return Command(name, f"built by {compiler}", lambda argv: [*head, *argv])


def _interpreter(_setting: Setting) -> Command:
    command = [sys.executable, "-I", "-c", "pass"]
    return Command(BARE_PYTHON, sys.version.split()[0], lambda argv: command, contained=False)


def _nestbox_command(setting: Setting) -> Command:
    path = Path(sys.executable).parent / "nestbox"
    binary = programs.find(str(path) if path.exists() else "nestbox", "NESTBOX")
    security = ["--security-opt", "seccomp=unconfined"] if setting.seccomp is None else []
    head = [binary, "run", "--rootfs", str(setting.root), "--network", "none", *security, "--"]
    return Command(COMMAND, programs.version(binary), lambda argv: [*head, *argv])


def _oci(name: str, row: str, options: Sequence[str], setting: Setting) -> Command:
    """Return `runc run` or `crun run`, one bundle per program, state in the scratch directory."""
    binary = programs.find(name, name.upper())
    state = setting.work / f"state-{row.replace(' ', '-')}"
    directory = setting.work / f"bundle-{row.replace(' ', '-')}"
    seccomp = None if setting.seccomp is None else setting.seccomp.configuration
    written: dict[tuple[str, ...], Path] = {}

    def command(argv: Sequence[str]) -> Sequence[str]:
        key = tuple(argv)
        if key not in written:
            content = bundle.config(
                setting.root,
                argv,
                setting.restrictions,
                cgroups=setting.cgroups,
                seccomp=seccomp,
            )
            written[key] = bundle.write(Path(f"{directory}-{len(written)}"), content)
        identity = f"bench-{os.getpid()}"
        return [
            *(binary, "--root", str(state), *options),
            *("run", "--bundle", str(written[key]), identity),
        ]

    return Command(row, programs.version(binary), command)


def _bubblewrap(setting: Setting) -> Command:
    """Return bubblewrap with what it can do alike.

    It cannot mount a new sysfs or cgroup: it gets the outer /sys, read-only, with all that is
    mounted there.
    """
    binary = programs.find("bwrap", "BWRAP")
    paths = setting.restrictions
    arguments = [
        *(binary, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
        *("--unshare-cgroup", "--as-pid-1", "--hostname", "bench"),
        *("--bind", str(setting.root), "/"),
        *("--proc", "/proc", "--dev", "/dev", "--mqueue", "/dev/mqueue", "--tmpfs", "/dev/shm"),
        *("--ro-bind", "/sys", "/sys", "--cap-drop", "ALL"),
    ]
    for capability in bundle.CAPABILITIES:
        arguments += ["--cap-add", capability]
    for path in paths.masked_files:
        arguments += ["--ro-bind", "/dev/null", path]
    for path in paths.masked_directories:
        arguments += ["--tmpfs", path, "--remount-ro", path]
    for path in paths.read_only:
        arguments += ["--ro-bind", path, path]
    inputs = {}
    if setting.seccomp is not None:
        program = setting.work / "seccomp"
        program.write_bytes(setting.seccomp.program)
        arguments += ["--seccomp", str(_SECCOMP_FD)]
        inputs[_SECCOMP_FD] = str(program)
    version = programs.version(binary)
    return Command(BUBBLEWRAP, version, lambda argv: [*arguments, "--", *argv], inputs=inputs)


def _keywords(setting: Setting) -> dict[str, Any]:
    keywords: dict[str, Any] = {
        "rootfs": str(setting.root),
        "profile": "default",
        "network": "none",
    }
    if setting.seccomp is None:
        keywords["security_opt"] = ["seccomp=unconfined"]
    return keywords


def _nestbox_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("nestbox")
    except PackageNotFoundError:
        return "unknown"


def _text(output: str | bytes) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output


# In the order of a round.
_MAKERS: Final[dict[str, Callable[[Setting], Launcher]]] = {
    FLOOR: _floor,
    GLIBC_FLOOR: _glibc_floor,
    PYTHON: FromPython,
    COMMAND: _nestbox_command,
    BARE_PYTHON: _interpreter,
    CRUN: lambda setting: _oci("crun", CRUN, (), setting),
    CRUN_NO_CGROUP: lambda setting: _oci(
        "crun", CRUN_NO_CGROUP, ("--cgroup-manager=disabled",), setting
    ),
    RUNC: lambda setting: _oci("runc", RUNC, (), setting),
    BUBBLEWRAP: _bubblewrap,
}

ROWS: Final = tuple(_MAKERS)
