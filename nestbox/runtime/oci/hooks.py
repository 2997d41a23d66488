"""Hooks that run in the runtime's own namespaces, at four of the six points of a container's life.

Those of the other two kinds, createContainer and startContainer, are the executor's to run.

Source: runtime-spec 1.3, config.md, "POSIX-platform Hooks", and runtime.md, "Lifecycle".
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from nestbox.errors import LaunchError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.oci.hooks import Hook

_MAXIMUM_OUTPUT_BYTES = 64 << 10  # of each stream; what comes after is read and thrown away
_CHUNK = 64 << 10
_SHOWN_BYTES = 4 << 10
_FIRST_INHERITED = 3


def run_hooks(kind: str, hooks: tuple[Hook, ...], state: bytes, *, first: int = 0) -> None:
    """Run hooks one after the other, each with the container's state on its standard input.

    Args:
        kind: what they are, for the error: ``prestart``, ``createRuntime``, ``poststart`` or
            ``poststop``.
        hooks: the programs; one without ``env`` gets the runtime's own environment, as with runc.
        state: the state of runtime.md, "State", as JSON.
        first: the number of the first of these hooks in the configuration's list.

    Raises:
        LaunchError: a hook could not be executed, failed, or ran past its timeout; those behind it
            did not run.
    """
    for number, hook in enumerate(hooks, first):
        failure = _run(hook, state)
        if failure:
            raise LaunchError(
                f"error running {kind} hook #{number}",
                cause=failure,
                remedy=f"run {hook.path!r} by hand with the container's state on its input",
            )


def _run(hook: Hook, state: bytes) -> str:
    """Run one hook to its end; return what went wrong with it, or nothing."""
    streams = _Streams(state)
    try:
        pid = _spawn(hook, streams)
    except (OSError, ValueError) as error:
        streams.close()
        return f"fork/exec {hook.path}: {reason(error)}"
    try:
        return _attend(hook, pid, streams)
    finally:
        streams.close()


def _attend(hook: Hook, pid: int, streams: _Streams) -> str:
    pidfd = os.pidfd_open(pid)
    try:
        in_time = streams.serve(pidfd, hook.timeout)
        if not in_time:
            # Its own process group, which the leader of a session cannot leave, so that what it
            # has started does not go on either.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        os.close(pidfd)
    if not in_time:
        return f"hook ran past specified timeout of {hook.timeout:.1f}s{streams.told()}"
    assert result is not None
    if result.si_code != os.CLD_EXITED:
        return f"signal: {_signal_name(result.si_status)}{streams.told()}"
    return f"exit status {result.si_status}{streams.told()}" if result.si_status else ""


def _signal_name(number: int) -> str:
    return (signal.strsignal(number) or str(number)).lower()


def _spawn(hook: Hook, streams: _Streams) -> int:
    """Start a hook with its three streams and nothing else of ours. Raises OSError."""
    actions: list[tuple[int, ...]] = [
        (os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(streams.theirs)
    ]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()]
    pid = os.posix_spawn(
        hook.path,
        hook.args or (hook.path,),
        _environment(hook.env),
        file_actions=actions,
        # A session of its own, and with it a group: whoever has a terminal can type into it
        # (TIOCSTI), and the hook may be that of a user for whom root runs it.
        setsid=True,
        setsigmask=(),
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )
    streams.started()
    return pid


def _inherited() -> list[int]:
    """Return the descriptors that an exec would hand on; ours are closed by it."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd >= _FIRST_INHERITED and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            pass  # the one with which the directory was read
    return found


def _environment(env: tuple[str, ...]) -> dict[bytes, bytes]:
    """Return the environment: of one name the last holds, and what has no "=" is left out."""
    if not env:
        return dict(os.environb)
    pairs = (os.fsencode(entry).partition(b"=") for entry in env)
    return {name: value for name, equals, value in pairs if name and equals}


class _Streams:
    """The three streams of a hook. What it keeps open after its end is not waited for."""

    def __init__(self, state: bytes) -> None:
        read_in, write_in = os.pipe2(os.O_CLOEXEC)
        read_out, write_out = os.pipe2(os.O_CLOEXEC)
        read_err, write_err = os.pipe2(os.O_CLOEXEC)
        self.theirs = [read_in, write_out, write_err]
        self._input = write_in
        self._rest = memoryview(state)
        self._outputs = {read_out: bytearray(), read_err: bytearray()}
        self._order = (read_out, read_err)
        self._poll = select.poll()
        for fd in (write_in, *self._outputs):
            os.set_blocking(fd, False)
        self._poll.register(write_in, select.POLLOUT)
        for fd in self._outputs:
            self._poll.register(fd, select.POLLIN)

    def started(self) -> None:
        """Close the hook's ends, which it has by now."""
        for fd in self.theirs:
            os.close(fd)
        self.theirs = []

    def close(self) -> None:
        """Close what is still open."""
        self.started()
        self._end_input()
        for fd in self._outputs:
            os.close(fd)

    def serve(self, pidfd: int, timeout: int | None) -> bool:
        """Feed the hook and listen to it until it has ended; False when that takes too long."""
        end = None if timeout is None else time.monotonic() + timeout
        self._poll.register(pidfd, select.POLLIN)
        while True:
            left = None if end is None else max(0.0, end - time.monotonic()) * 1000
            ready = [fd for fd, _ in self._poll.poll(left)]
            for fd in ready:
                self._handle(fd)
            if pidfd in ready:
                for fd in self._outputs:
                    self._read(fd)
                return True
            if end is not None and time.monotonic() >= end:
                return False

    def _handle(self, fd: int) -> None:
        if fd == self._input:
            self._write()
        elif fd in self._outputs and not self._read(fd):
            self._poll.unregister(fd)

    def _write(self) -> None:
        try:
            self._rest = self._rest[os.write(self._input, self._rest) :]
        except BrokenPipeError:
            self._rest = self._rest[:0]  # a hook need not read it
        if not self._rest:
            self._end_input()

    def _end_input(self) -> None:
        if self._input >= 0:
            self._poll.unregister(self._input)
            os.close(self._input)
            self._input = -1

    def _read(self, fd: int) -> bool:
        """Keep what there is to read; False at the stream's end."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        kept = self._outputs[fd]
        kept += data[: _MAXIMUM_OUTPUT_BYTES - len(kept)]
        return bool(data)

    def told(self) -> str:
        """Return what the hook has written, as the end of an error's cause."""
        out, err = (self._outputs[fd][:_SHOWN_BYTES].decode(errors="replace") for fd in self._order)
        return f", stdout: {out}, stderr: {err}"
