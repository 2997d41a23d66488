"""Signals by name and number."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from nestbox.kernel.signals import open_process, send, signal_number


@pytest.mark.parametrize("known", list(signal.valid_signals() & set(signal.Signals)))
def test_every_signal_of_this_system_has_its_name(known: signal.Signals) -> None:
    for text in (known.name, known.name.removeprefix("SIG"), known.name.lower()):
        assert signal_number(text) == known.value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("0", 0),
        ("-9", -9),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("sigrtmax-1", signal.SIGRTMAX - 1),
    ],
)
def test_numbers_and_real_time_signals(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "SIG", "NONSENSE", "TERM ", "RTMIN+99", "RTMIN+", "_BLOCK", "SIG_IGN", "9x", "ä"]
)
def test_what_is_no_signal(text: str) -> None:
    assert signal_number(text) is None


def test_a_signal_reaches_the_process_of_the_descriptor() -> None:
    with subprocess.Popen(["sleep", "100"]) as process:
        pidfd = open_process(process.pid)
        send(pidfd, 0)
        send(pidfd, signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            send(pidfd, 0)
        os.close(pidfd)
