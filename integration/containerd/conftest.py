"""Containers of `ctr`, on the containerd that is started once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from integration.engines import images
from integration.engines.containerd import Containerd
from integration.engines.enclosure import Done
from integration.engines.terminal import Terminal


class Ctr:
    """`ctr run` and `ctr tasks`, with the runtime under test."""

    def __init__(self, containerd: Containerd) -> None:
        self.containerd = containerd
        self.enclosure = containerd.enclosure
        self._numbers = count(1)

    def __call__(self, *words: str, check: bool = True, stdin: str = "") -> Done:
        """Return what a ctr command answered."""
        return self.containerd.ctr(*words, check=check, stdin=stdin)

    def words(self, *flags: str, name: str, program: tuple[str, ...]) -> list[str]:
        """Return the words of `ctr run`."""
        binary = f"--runc-binary={self.containerd.runtime.path}"
        return ["run", binary, *flags, images.NAME, name, *program]

    def run(self, *flags: str, program: tuple[str, ...], check: bool = True) -> Done:
        """Return what a container answered that is removed at its end."""
        name = f"run-{next(self._numbers)}"
        return self(*self.words("--rm", *flags, name=name, program=program), check=check)

    def start(self, *flags: str, program: tuple[str, ...] = ("sleep", "1000")) -> str:
        """Return the name of a container that runs."""
        name = f"start-{next(self._numbers)}"
        self(*self.words("--detach", *flags, name=name, program=program))
        return name

    def exec(self, name: str, *program: str, check: bool = True) -> Done:
        """Return what another program in a container answered."""
        process = f"exec-{next(self._numbers)}"
        return self("tasks", "exec", f"--exec-id={process}", name, *program, check=check)

    def status(self, name: str) -> str:
        """Return the status of a task, or nothing."""
        lines = [line.split() for line in self("tasks", "list").out.splitlines()]
        return next((line[2] for line in lines if line[0] == name), "")

    def terminal(self, *words: str) -> Terminal:
        """Return a ctr command on a terminal."""
        return self.containerd.terminal(*words)


@pytest.fixture
def ctr(containerd: Containerd) -> Iterator[Ctr]:
    """Return ctr without containers, before and after."""
    yield Ctr(containerd)
    containerd.remove_all()
