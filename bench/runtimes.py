"""The OCI runtimes, called as an engine calls them: each command timed as a whole process."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench import bundle, process, programs
from bench.launchers import CRUN, RUNC, Setting

NESTBOX: Final = "nestbox-runtime"
ROWS: Final = (NESTBOX, CRUN, RUNC)

STATE_PARENT: Final = "/run"  # where engines let a runtime keep its state

CREATE: Final = "create"
START: Final = "start"
STATE: Final = "state"
EXEC: Final = "exec"
KILL: Final = "kill"
DELETE: Final = "delete"

# It stays until it is killed.
_STAYING: Final = ("/bin/sleep", "1000000")
_PROGRAM: Final = "/bin/true"
_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h
_AT_ONCE: Final = 4


class Runtime:
    """One runtime, with a state directory of its own that knows its containers alone."""

    def __init__(self, name: str, binary: str, directory: Path) -> None:
        directory.mkdir()
        self.name = name
        self.version = programs.version(binary)
        self.state_directory = directory / "state"
        self._head = (binary, "--root", str(self.state_directory))
        self._directory = directory
        self._numbers = itertools.count()
        self._made: dict[str, None] = {}

    def lifecycle(self, directory: Path) -> dict[str, float]:
        """Return the seconds of each command in the life of one container.

        The caller must have made this process a subreaper: between `kill` and `delete` it reaps
        the container, as an engine does, outside of both times.

        Raises:
            LaunchFailedError: a command failed.
        """
        identity = self._new()
        took = {
            CREATE: self._create(identity, directory),
            START: self._timed(START, identity),
            KILL: self._timed(KILL, identity, "KILL"),
        }
        self._reap(identity)
        took[DELETE] = self._timed(DELETE, identity)
        self._forget(identity)
        return took

    def running(self, directory: Path) -> str:
        """Return the id of a new container that runs until `remove`. Raises LaunchFailedError."""
        identity = self._new()
        self._create(identity, directory)
        self._timed(START, identity)
        return identity

    def fill(self, directory: Path, count: int) -> None:
        """Let so many containers be alive, some of them made at once. Raises LaunchFailedError."""
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            for _ in pool.map(lambda _: self.running(directory), range(count - len(self._made))):
                pass
        finally:
            with uninterrupted():
                pool.shutdown(cancel_futures=True)

    def state(self, identity: str) -> float:
        """Return the seconds of `state`. Raises LaunchFailedError."""
        return self._timed(STATE, identity)

    def execute(self, identity: str) -> float:
        """Return the seconds of `exec` of `true`. Raises LaunchFailedError."""
        return self._timed(EXEC, identity, _PROGRAM)

    def remove(self) -> None:
        """Remove all containers that are left.

        Raises:
            LaunchFailedError: some could not be removed; the others are.
        """
        with uninterrupted():
            left = list(self._made)
            for identity in left:
                self._end(identity)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                complaints = [text for text in pool.map(self._delete, left) if text]
        if complaints:
            raise process.LaunchFailedError("; ".join(complaints))

    def _new(self) -> str:
        identity = f"bench-{os.getpid()}-{self.name}-{next(self._numbers)}"
        self._made[identity] = None  # before there is anything of it, so that nothing is forgotten
        return identity

    def _create(self, identity: str, directory: Path) -> float:
        options = ("--bundle", str(directory), "--pid-file", str(self._pid_file(identity)))
        return self._timed(CREATE, *options, identity)

    def _timed(self, command: str, *arguments: str) -> float:
        return process.run([*self._head, command, *arguments]).seconds

    def _end(self, identity: str) -> None:
        """Kill and reap a container; a runtime that is told to may sleep until it is dead."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(self._pid_file(identity).read_text()), signal.SIGKILL)
        self._reap(identity)

    def _reap(self, identity: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.waitpid(int(self._pid_file(identity).read_text()), 0)

    def _delete(self, identity: str) -> str:
        """Return what `delete --force` complained about, or nothing."""
        try:
            self._timed(DELETE, "--force", identity)
        except process.LaunchFailedError as error:
            return str(error)
        self._forget(identity)
        return ""

    def _forget(self, identity: str) -> None:
        self._pid_file(identity).unlink(missing_ok=True)
        del self._made[identity]

    def _pid_file(self, identity: str) -> Path:
        return self._directory / f"{identity}.pid"


def write_bundle(directory: Path, setting: Setting) -> Path:
    """Return the bundle, made, that all runtimes are given: its program stays until killed."""
    content = bundle.config(
        setting.root,
        _STAYING,
        setting.restrictions,
        cgroups=setting.cgroups,
        seccomp=None if setting.seccomp is None else setting.seccomp.configuration,
    )
    return bundle.write(directory, content)


def available(directory: Path, wanted: Callable[[str], bool]) -> tuple[list[Runtime], list[str]]:
    """Return the wanted runtimes of this machine, and a line for each that it lacks.

    Args:
        directory: where each keeps its state.
        wanted: whether a runtime is to be measured, by its name.
    """
    found: list[Runtime] = []
    absent: list[str] = []
    for name in filter(wanted, ROWS):
        try:
            found.append(Runtime(name, _binary(name), directory / name))
        except programs.NotAvailableError as error:
            absent.append(f"{name} is left out of the commands: {error}")
    return found, absent


@contextlib.contextmanager
def subreaper(runtimes: Sequence[Runtime]) -> Iterator[None]:
    """Adopt the containers of the runtimes, and remove those that are left at the end.

    Raises:
        LaunchFailedError: some could not be removed.
    """
    _adopt_orphans(adopt=True)
    try:
        with contextlib.ExitStack() as stack:
            for runtime in runtimes:
                stack.callback(runtime.remove)
            yield
    finally:
        _adopt_orphans(adopt=False)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the interrupt key wait until the end: what it would interrupt is a clean-up.

    The handler is a function and not SIG_IGN, which the programs called would inherit.

    Raises:
        KeyboardInterrupt: at the end, when it was pressed.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    came: list[int] = []
    before = [
        signal.signal(number, lambda number, _frame: came.append(number)) for number in signals
    ]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _binary(name: str) -> str:
    if name != NESTBOX:
        return programs.find(name, name.upper())
    path = Path(sys.executable).parent / name
    return programs.find(str(path) if path.exists() else name, "NESTBOX_RUNTIME")


def _adopt_orphans(*, adopt: bool) -> None:
    """Become a subreaper or stop to be one, see PR_SET_CHILD_SUBREAPER in prctl(2)."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl: PR_SET_CHILD_SUBREAPER")
