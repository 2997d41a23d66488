"""Self-nesting: the processes of our own cgroup go to a leaf, so that it can be divided.

A cgroup of version 2 with controllers for its children holds no processes itself. Whether a cgroup
may be rearranged is decided by policy; here it happens, under a lock that all nestboxes take, and
again and again until no process was born meanwhile. A failure undoes it. What a kill leaves is a
cgroup with some processes in the leaf: it works as before, and the next nestbox goes on from there.

Nobody undoes a success: the leaf stays as long as its processes, and costs the next one two reads.

Source: cgroup-v2.rst, "No Internal Process Constraint", "Threads".
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence

from nestbox.errors import LaunchError
from nestbox.policy.cgroup_nesting import LEAF
from nestbox.runtime.cgroup.files import read_at, why, write_at

# For the lock, and again for the move: moving a process takes the kernel about 10 ms.
SECONDS = 10.0
_PAUSE_SECONDS = 0.005
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CONTROL = "cgroup.subtree_control"
_PROCESSES = "cgroup.procs"
_MODE = 0o755


def nest(parent: str, controllers: Sequence[str], *, seconds: float = SECONDS) -> None:
    """Enable controllers for the children of a cgroup, moving its processes to a leaf of it.

    Where they are enabled already nothing happens. Without any, the processes move all the same.

    Raises:
        LaunchError: the kernel refused, another nestbox holds the lock, or processes are born
            faster than they move; all is as before, as far as the kernel takes it back.
    """
    try:
        directory = os.open(parent, _DIRECTORY)
    except OSError as error:
        raise _failed(parent, f"cannot open it: {why(error)}") from error
    try:
        with _locked(directory, parent, seconds):
            present = read_at(directory, _CONTROL).split()
            missing = [name for name in controllers if name not in present]
            if missing or not controllers:
                _Move(directory, parent, missing, seconds).run()
    except OSError as error:
        raise _failed(parent, why(error)) from error
    finally:
        os.close(directory)


@contextlib.contextmanager
def _locked(directory: int, parent: str, seconds: float) -> Iterator[None]:
    """Hold the lock on a cgroup. Anybody who can read it can lock it, so there is a time limit."""
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise _failed(
                    parent, f"another process has held the lock on it for {seconds:g} seconds"
                ) from error
        time.sleep(_PAUSE_SECONDS)
    try:
        yield
    finally:
        fcntl.flock(directory, fcntl.LOCK_UN)


class _Move:
    """One rearrangement, and its undoing."""

    def __init__(
        self, directory: int, parent: str, controllers: Sequence[str], seconds: float
    ) -> None:
        self._directory = directory
        self._parent = parent
        self._controllers = controllers
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        self._made = False
        self._moved: set[str] = set()

    def run(self) -> None:
        leaf = -1
        try:
            if not read_at(self._directory, _PROCESSES) and self._enable():
                return
            leaf = self._open_leaf()
            self._divide(leaf)
        except BaseException:
            self._undo(leaf)
            raise
        finally:
            if leaf >= 0:
                os.close(leaf)

    def _open_leaf(self) -> int:
        try:
            os.mkdir(LEAF, _MODE, dir_fd=self._directory)
            self._made = True
        except FileExistsError:
            pass  # of an earlier nestbox
        leaf = os.open(LEAF, _DIRECTORY, dir_fd=self._directory)
        try:
            self._check_leaf(leaf)
        except BaseException:
            os.close(leaf)
            raise
        return leaf

    def _check_leaf(self, leaf: int) -> None:
        """Refuse a leaf in which processes would stop, could not be, or be in others' power."""
        owner = os.fstat(leaf).st_uid
        if owner != os.geteuid():
            raise _failed(self._parent, f"its child {LEAF} belongs to uid {owner}")
        with contextlib.suppress(FileNotFoundError):  # before Linux 5.2
            if read_at(leaf, "cgroup.freeze") != "0":
                raise _failed(self._parent, f"its child {LEAF} is frozen")
        kind = read_at(leaf, "cgroup.type")
        # With processes above and controllers of threads it is invalid until the processes move.
        if kind not in {"domain", "domain invalid"}:
            raise _failed(self._parent, f"its child {LEAF} is of type {kind!r}")

    def _divide(self, leaf: int) -> None:
        """Move and enable until both hold at once."""
        enabled = False
        while True:
            listed = read_at(self._directory, _PROCESSES).split()
            if enabled and not listed:
                return
            for pid in listed:
                self._move(leaf, pid)
            if not enabled:
                enabled = self._enable()
            if not (enabled or listed):
                time.sleep(_PAUSE_SECONDS)  # one that has no number any more is about to go
            if time.monotonic() > self._end:
                raise _failed(
                    self._parent,
                    f"for {self._seconds:g} seconds processes were born faster than they moved",
                )

    def _move(self, leaf: int, pid: str) -> None:
        if pid == "0":
            raise _failed(self._parent, "a process of another pid namespace came into it")
        try:
            write_at(leaf, _PROCESSES, pid)
        except ProcessLookupError:
            return  # it ended
        except OSError as error:
            if error.errno != errno.EINVAL:  # a task that is being born cannot be moved yet
                raise
            time.sleep(_PAUSE_SECONDS)
            return
        self._moved.add(pid)

    def _enable(self) -> bool:
        """Enable the controllers; return false for a process that was born meanwhile."""
        words = " ".join(f"+{name}" for name in self._controllers)
        try:
            if words:
                write_at(self._directory, _CONTROL, words)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    def _undo(self, leaf: int) -> None:
        """Take back what the kernel lets be taken back; the first refusal is the one to tell."""
        for name in self._controllers:
            with contextlib.suppress(OSError):
                write_at(self._directory, _CONTROL, f"-{name}")
        if leaf >= 0:
            self._move_back(leaf)
        if self._made:
            with contextlib.suppress(OSError):
                os.rmdir(LEAF, dir_fd=self._directory)

    def _move_back(self, leaf: int) -> None:
        """Move back what we moved, and all that is in a leaf that was not there before."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            try:
                listed = read_at(leaf, _PROCESSES).split()
            except OSError:
                return
            ours = listed if self._made else [pid for pid in listed if pid in self._moved]
            if not ours:
                return
            for pid in ours:
                try:
                    write_at(self._directory, _PROCESSES, pid)
                except ProcessLookupError:
                    continue
                except OSError:
                    return
            time.sleep(_PAUSE_SECONDS)


def _failed(parent: str, cause: str) -> LaunchError:
    return LaunchError(
        f"cannot divide our own cgroup {parent} for a container",
        cause=cause,
        remedy="move its processes to a child cgroup outside, or leave the limits out",
    )
