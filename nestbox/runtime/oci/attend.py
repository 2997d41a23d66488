"""A process of a container while its caller waits for it: streams, signals, and its status."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from nestbox.runtime.context import context_of_process
from nestbox.runtime.forwarding import Forwarding
from nestbox.runtime.launch import Launched, wait
from nestbox.runtime.streams import Pump

_AT_ONCE = (0.0, lambda: None)


def attend(pid: int, pidfd: int, master: int, forwarding: Forwarding) -> int:
    """Serve a process, a child of ours, until it is dead; return its exit status.

    ``pidfd`` and ``master`` (the other end of its terminal, or -1) are closed. A status of 128 + n
    stands for signal n.
    """
    context = context_of_process()
    launched = Launched(pid=pid, pidfd=pidfd, sets=None, master=None if master < 0 else master)
    pump = Pump(pidfd)
    try:
        with contextlib.ExitStack() as terminal:
            if master >= 0:
                from nestbox.runtime.terminal import attach, take_size

                take_size(context.stdin, master)
                attach(master, context, pump, terminal)
            forwarding.connect(pump, launched, context.stdin)
            pump.run(lambda: None, after=_AT_ONCE)
    finally:
        pump.close()
        if master >= 0:
            os.close(master)
    try:
        return wait(launched)
    finally:
        os.close(pidfd)


@contextlib.contextmanager
def forwarded_signals() -> Iterator[Forwarding]:
    """Hold signals back from here on, and hand them to the process that is attended."""
    forwarding = Forwarding(patience=None)
    try:
        forwarding.begin()
        yield forwarding
    finally:
        forwarding.end()
