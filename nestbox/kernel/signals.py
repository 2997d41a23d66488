"""Signals by name and number, and sent so that no other process can get them by mistake.

Stands on the C part of the module ``signal``, whose own import makes enums that cost milliseconds.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the stubs know only the module around it
import os

SIGKILL = 9
_LAST = 64  # _NSIG of the kernel


def signal_number(text: str) -> int | None:
    """Return the number of a signal, None when there is none of that name.

    Names are those of signal(7) in any case, with or without ``SIG``, ``RTMIN+n`` and ``RTMAX-n``
    too. A number is returned whatever it is: the kernel knows which there are.
    """
    if text.removeprefix("-").removeprefix("+").isdigit():
        return int(text)
    name = text.upper().removeprefix("SIG")
    for limit, sign in (("RTMIN", "+"), ("RTMAX", "-")):
        base, found, offset = name.partition(sign)
        if found and base == limit and offset.isdigit():
            number = _named(limit) + int(sign + offset)
            return number if _named("RTMIN") <= number <= _LAST else None
    return _named(name) or None


def _named(name: str) -> int:
    number = getattr(_signal, f"SIG{name}", 0)
    return int(number) if name.isalnum() else 0


def send(pidfd: int, signal: int) -> None:
    """Send a signal to the process of a descriptor; 0 only tries it. Raises OSError."""
    _signal.pidfd_send_signal(pidfd, signal)


def open_process(pid: int) -> int:
    """Return a descriptor of a process. Raises OSError: ProcessLookupError when it is gone."""
    return os.pidfd_open(pid)
