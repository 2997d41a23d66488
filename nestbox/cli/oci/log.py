"""The log of `nestbox-runtime`: where engines read what became of a call.

A message is one line, written in one piece: text as logrus writes it, or JSON with ``level``,
``msg`` and ``time`` (RFC 3339), which containerd and podman parse. Without --log it goes to
standard error.
"""

from __future__ import annotations

import os
import time

from nestbox import json_text
from nestbox.errors import NestboxError, reason

_MODE = 0o644
# What logrus writes without quotes.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")
_PRIORITIES = {"error": 3, "warning": 4, "info": 6, "debug": 7}  # syslog(3)
_JOURNAL = "/run/systemd/journal/socket"
_SYSLOG = "/dev/log"


class Log:
    """Messages of one call. Each method takes one message, of any characters."""

    def __init__(self) -> None:
        self.is_json = False
        self.debugging = False
        self._fd = 2
        self._service = ""
        self._tag = ""

    def open(self, target: str) -> None:
        """Send messages to a file, or to "journald:TAG" or "syslog:TAG". Raises NestboxError."""
        service, separator, rest = target.partition(":")
        if separator and service in {"journald", "syslog"}:
            self._service, self._tag = service, rest or "nestbox-runtime"
            return
        path = rest if separator and service == "file" else target
        try:
            self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise NestboxError(
                f"open {path}", cause=reason(error), remedy="name a file that can be written"
            ) from error

    def error(self, message: str) -> None:
        """Tell why the call failed."""
        self._write("error", message)

    def warning(self, message: str) -> None:
        """Tell of something that is less than what was asked for."""
        self._write("warning", message)

    def info(self, message: str) -> None:
        """Tell what is good to know."""
        self._write("info", message)

    def debug(self, message: str) -> None:
        """Tell what only who looks for a defect needs; nothing without --debug."""
        if self.debugging:
            self._write("debug", message)

    def fatal(self, message: str) -> None:
        """Tell why the call failed, in the log and on standard error: once when they are one."""
        self.error(message)
        if not self._is_stderr():
            _tell(message)

    def program_failed(self, what: str, message: str) -> None:
        """Tell that a program could not be executed: ``what`` alone to who waits for its output.

        As with runc, whose executor writes that one line itself; a log file has all of it.
        """
        if not self._is_stderr():
            self.error(message)
        _tell(what)

    def _is_stderr(self) -> bool:
        if self._service:
            return False
        try:
            return self._fd == 2 or os.path.sameopenfile(self._fd, 2)
        except OSError:
            return False

    def _write(self, level: str, message: str) -> None:
        if self._service:
            self._send(level, message)
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.is_json:
            line = json_text.encode({"level": level, "msg": message, "time": now})
        else:
            line = f'time="{now}" level={level} msg={_quoted(message)}'
        _write(self._fd, f"{line}\n")

    def _send(self, level: str, message: str) -> None:
        """Send a datagram; who cannot be reached is not told, as with syslog(3)."""
        import socket

        priority = _PRIORITIES[level]
        if self._service == "journald":
            target = _JOURNAL
            data = _journal_entry(
                {"MESSAGE": message, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": self._tag}
            )
        else:
            target = _SYSLOG
            facility = 3 << 3  # LOG_DAEMON
            text = f"<{facility | priority}>{self._tag}[{os.getpid()}]: {message}"
            data = text.encode("utf-8", "replace")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.sendto(data, target)
            except OSError:
                return


def _tell(text: str) -> None:
    _write(2, escaped(text, keep="\n\t") + "\n")


def _quoted(message: str) -> str:
    if message and _PLAIN.issuperset(message):
        return message
    return '"' + escaped(message.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def escaped(text: str, *, keep: str = "") -> str:
    """Return text that is safe for a terminal, in one line unless newlines are kept."""
    if text.isprintable():
        return text
    return "".join(
        char
        if char in keep or char.isprintable()
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def _journal_entry(fields: dict[str, str]) -> bytes:
    """Return an entry in the journal's native protocol: a length in front of each value."""
    entry = b""
    for name, value in fields.items():
        data = value.encode("utf-8", "replace")
        entry += name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return entry


def _write(fd: int, text: str) -> None:
    """Write a line in one piece; when there is nowhere to write, there is nowhere to say so."""
    try:
        os.write(fd, text.encode("utf-8", "replace"))
    except OSError:
        return
