"""An OCI runtime as an engine drives it: a process a command, a root directory of its own.

Everything is asked for on the command line and read from output, exit codes and the log, so that
any runtime can be driven (`pytest tests/root/oci --oci-runtime=/usr/sbin/runc`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.root.driver import SECONDS, Done
from tests.root.oci.bundle import Bundle


@dataclass
class Oci:
    """One runtime with a root directory of its own; each container's output is in a file."""

    command: str
    directory: Path
    prefix: str
    flags: tuple[str, ...] = ()
    made: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Return where the runtime keeps its state."""
        return self.directory / "run"

    @property
    def log(self) -> Path:
        """Return the file of the log."""
        return self.directory / "log.json"

    @property
    def is_nestbox(self) -> bool:
        """Return whether it is ours, whose messages say more."""
        return Path(self.command).name == "nestbox-runtime"

    def words(self, *arguments: str) -> list[str]:
        """Return a whole command line, as containerd makes it."""
        settings = ["--root", str(self.root), "--log", str(self.log), "--log-format", "json"]
        return [self.command, *settings, *self.flags, *arguments]

    def call(self, *arguments: str, input: bytes | None = None, **options: Any) -> Done:
        """Run a command that leaves no process behind, and wait for it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            self.words(*arguments),
            **{"stdin": subprocess.DEVNULL} if input is None else {"input": input},
            capture_output=True,
            check=False,
            timeout=SECONDS,
            **options,
        )
        return _done(done.returncode, done.stdout, done.stderr)

    def detached(self, *arguments: str, name: str, **options: Any) -> Done:
        """Run a command that leaves a container behind, whose output goes to the file ``name``."""
        self.directory.mkdir(parents=True, exist_ok=True)
        errors = self.directory / f"{name}.stderr"
        options = {"stdin": subprocess.DEVNULL} | options
        with open(self.output_file(name), "ab") as out, open(errors, "ab") as err:
            before = err.tell()
            done = subprocess.run(
                self.words(*arguments),
                **{"stdout": out, "stderr": err} | options,
                check=False,
                timeout=SECONDS,
            )
        return _done(done.returncode, b"", errors.read_bytes()[before:])

    def ok(self, *arguments: str, **options: Any) -> Done:
        """Run a command that has to succeed."""
        done = self.call(*arguments, **options)
        assert done.exit_code == 0, f"{arguments}: {done.stderr or self.messages()}"
        return done

    def new_id(self) -> str:
        """Return an id that no other container has."""
        self.made.append(f"{self.prefix}-{len(self.made)}")
        return self.made[-1]

    def create(self, bundle: Bundle, *flags: str, **options: Any) -> str:
        """Create a container, and return its id."""
        name = self.new_id()
        done = self.try_create(bundle, name, *flags, **options)
        assert done.exit_code == 0, done.stderr
        return name

    def try_create(self, bundle: Bundle, name: str, *flags: str, **options: Any) -> Done:
        """Create a container that may be refused."""
        words = ("create", "--bundle", str(bundle.write()), *flags, name)
        return self.detached(*words, name=name, **options)

    def start(self, name: str, **options: Any) -> None:
        """Start a created container."""
        self.ok("start", name, **options)

    def up(self, bundle: Bundle, *flags: str, **options: Any) -> str:
        """Create and start a container, and return its id."""
        name = self.create(bundle, *flags, **options)
        self.start(name)
        return name

    def run(self, bundle: Bundle, *flags: str, **options: Any) -> Done:
        """Run a container to its end in the foreground."""
        return self.call("run", "--bundle", str(bundle.write()), *flags, self.new_id(), **options)

    def exec(self, name: str, *words: str, flags: tuple[str, ...] = (), **options: Any) -> Done:
        """Run a process in a container to its end."""
        return self.call("exec", *flags, name, *words, **options)

    def state(self, name: str) -> dict[str, Any]:
        """Return the state of a container."""
        return dict(json.loads(self.ok("state", name).stdout))

    def status(self, name: str) -> str:
        """Return the status of a container; "" when there is none."""
        done = self.call("state", name)
        return str(json.loads(done.stdout)["status"]) if done.exit_code == 0 else ""

    def wait(self, name: str) -> None:
        """Wait until the first process of a container has ended."""
        pid = self.state(name)["pid"]
        if not pid:
            return
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            try:
                assert select.select([pidfd], [], [], SECONDS)[0], f"{name} does not end"
            finally:
                os.close(pidfd)

    def output_file(self, name: str) -> Path:
        """Return the file that a container's output goes to."""
        return self.directory / f"{name}.stdout"

    def output(self, name: str) -> str:
        """Return what a container has printed."""
        return self.output_file(name).read_text(errors="surrogateescape")

    def messages(self, level: str | None = None) -> list[str]:
        """Return the messages of the log, of one level or all."""
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line["msg"] for line in lines if level in {None, line["level"]}]

    def clean(self) -> None:
        """Remove what a test left, whatever became of it."""
        for name in self.made:
            self.call("delete", "--force", name)


def _done(code: int, out: bytes, err: bytes) -> Done:
    return Done(
        exit_code=code,
        stdout=out.decode(errors="surrogateescape"),
        stderr=err.decode(errors="surrogateescape"),
    )


class Voice:
    """A pipe that a container prints to, so that a test can wait for a line of it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self._text = b""

    def line(self) -> str:
        """Return the next line, as soon as it was printed."""
        while b"\n" not in self._text:
            assert select.select([self.reading], [], [], SECONDS)[0], "nothing is printed"
            part = os.read(self.reading, 4096)
            assert part, f"it ended after {self._text!r}"
            self._text += part
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reading)
        os.close(self.writing)
