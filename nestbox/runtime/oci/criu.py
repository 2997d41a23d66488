"""One conversation with CRIU: it is started as a service that serves us alone, and asked one thing.

Source: criu(8), "swrk"; criu.org, "RPC".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from nestbox.errors import LaunchError, NestboxError, reason
from nestbox.runtime.oci.criu_messages import (
    FEATURE_CHECK,
    NOTIFY,
    PRE_DUMP,
    TYPE_NAMES,
    VERSION,
    decode,
    encode,
)

if TYPE_CHECKING:
    import subprocess

MINIMUM: Final = 30000  # 3.0 is the first that tells its version to who asks
_LONGEST_ANSWER: Final = 40 << 10
_MOST_DESCRIPTORS: Final = 4
_REMEDY: Final = "install CRIU 4 or newer, or name another one with --criu"

# What is to be done at a notification: its name, the process that it is about (0 for none), and
# the descriptor that comes with it (-1 for none), which is the callee's to close.
Notified = Callable[[str, int, int], None]


def _ignore(script: str, pid: int, fd: int) -> None:
    if fd >= 0:
        os.close(fd)


class Service:
    """A process of CRIU that waits for one request; ``pid`` is its own."""

    def __init__(
        self,
        program: str,
        *,
        stdio: tuple[int, int, int] | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            program: its name or path.
            stdio: its standard streams, which a restored program may inherit; None for none.
            inherited: descriptors of ours that it has under the same numbers.

        Raises:
            LaunchError: it cannot be executed.
        """
        import socket
        import subprocess

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        streams = (subprocess.DEVNULL,) * 3 if stdio is None else stdio
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [program, "swrk", str(theirs.fileno())],
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                pass_fds=(theirs.fileno(), *inherited),
            )
        except OSError as error:
            ours.close()
            raise LaunchError(
                f"cannot start CRIU, {program!r}", cause=reason(error), remedy=_REMEDY
            ) from error
        finally:
            theirs.close()
        self._socket = ours
        self.pid = self._process.pid

    def ask(self, request: dict[str, Any], notified: Notified = _ignore) -> dict[str, Any]:
        """Return the answer to a request, after the notifications that come before it.

        Raises:
            NestboxError: CRIU refused or died, or ``notified`` raised, which stops CRIU.
        """
        failure: NestboxError | None = None
        self._send(request)
        while True:
            answer, fd = self._receive(request["type"])
            if answer["type"] != NOTIFY or not answer["success"]:
                break
            try:
                notice = answer.get("notify", {})
                notified(notice.get("script", ""), notice.get("pid", 0), fd)
            except NestboxError as error:
                failure = failure or error
            self._send({"type": NOTIFY, "notify_success": failure is None})
        if failure is not None:
            raise failure
        if not answer["success"]:
            raise _refused(answer)
        return answer

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self._socket.send(encode("request", request))
        except OSError as error:
            name = TYPE_NAMES[request["type"]]
            raise _gone(name, reason(error)) from error

    def _receive(self, asked: int) -> tuple[dict[str, Any], int]:
        import socket

        try:
            data, fds, _, _ = socket.recv_fds(
                self._socket, _LONGEST_ANSWER, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
            for fd in fds[1:]:
                os.close(fd)
            if data:
                answer = {"type": asked, "success": False} | decode("response", data)
                return answer, fds[0] if fds else -1
            cause = "it ended without an answer"
        except (OSError, ValueError) as error:
            cause = reason(error)
        raise _gone(TYPE_NAMES[asked], cause)

    def finish(self, asked: int) -> None:
        """Wait for its end after a request that was met. Raises LaunchError when it fails then."""
        self._socket.close()
        status = self._process.wait()
        # After a pre-dump it waits for the next one, and takes our end for a failure.
        if status != 0 and asked != PRE_DUMP:
            raise LaunchError(
                "criu failed",
                cause=f"it ended with status {status}",
                remedy="see the log of CRIU",
            )

    def stop(self) -> None:
        """End it, whatever it is at; it undoes what it can when it is left alone."""
        self._socket.close()
        self._process.wait()


def _gone(request: str, cause: str) -> LaunchError:
    return LaunchError(f"criu failed: type {request}", cause=cause, remedy="see the log of CRIU")


def _refused(answer: dict[str, Any]) -> LaunchError:
    name = TYPE_NAMES.get(answer["type"], str(answer["type"]))
    number = answer.get("cr_errno", 0)
    cause = answer.get("cr_errmsg") or (os.strerror(number).lower() if number else "see its log")
    return LaunchError(
        f"criu failed: type {name} errno {number}",
        cause=cause,
        remedy="see the log of CRIU, and run `criu check --all`",
    )


def _ask(program: str, request: dict[str, Any]) -> dict[str, Any]:
    service = Service(program)
    try:
        return service.ask(request)
    finally:
        service.stop()


def version(program: str) -> int:
    """Return CRIU's version as a number, 31701 for 3.17.1.

    Raises:
        LaunchError: it is not there, or older than MINIMUM.
    """
    try:
        told = _ask(program, {"type": VERSION}).get("version", {})
    except LaunchError as error:
        raise LaunchError(
            "CRIU version check failed", cause=f"{error.what}: {error.cause}", remedy=_REMEDY
        ) from error
    major, minor = told.get("major_number", 0), told.get("minor_number", 0)
    found: int = major * 10000 + minor * 100 + told.get("sublevel", 0)
    if found < MINIMUM:
        raise LaunchError(
            f"CRIU version {found} must be {MINIMUM} or higher",
            cause=f"{program!r} is older",
            remedy=_REMEDY,
        )
    return found


def require_feature(program: str, feature: str) -> None:
    """Refuse when kernel and CRIU together do not have a feature: ``mem_track``, ``lazy_pages``.

    Raises:
        LaunchError: they do not have it.
    """
    answer = _ask(program, {"type": FEATURE_CHECK, "features": {feature: True}})
    if not answer.get("features", {}).get(feature, False):
        raise LaunchError(
            f"criu is missing features: {feature}",
            cause="this CRIU or this kernel does not have it",
            remedy="run `criu check --all` to see which of the two",
        )


def problem(program: str) -> str:
    """Return why CRIU cannot be used here, and nothing when it says of itself that it can be."""
    import subprocess

    try:
        version(program)
        done = subprocess.run([program, "check"], check=False, capture_output=True)
    except LaunchError as error:
        return f"{error.what}: {error.cause}"
    if done.returncode == 0:
        return ""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"it does not work on this kernel: {lines[-1] if lines else 'criu check fails'}"
