"""A runtime's command as tests drive it: a process of its own, its own state, nothing shared.

Everything that a test knows of a container comes through here, so that another command with the
same flags can be driven in its place (`pytest --runtime=COMMAND`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 60  # far more than any launch takes; what hangs fails


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def facts(self) -> dict[str, str]:
        """Return what the probe told: "key value" lines of standard output."""
        pairs = (line.partition(" ") for line in self.stdout.splitlines())
        return {key: value for key, _, value in pairs}

    def sets(self) -> dict[str, int]:
        """Return the five capability sets that the probe told."""
        names = ("inheritable", "permitted", "effective", "bounding", "ambient")
        facts = self.facts
        return {name: int(facts[name], 16) for name in names}

    def status(self, key: str) -> str:
        """Return one line of /proc/self/status that the container printed."""
        found = [line for line in self.stdout.splitlines() if line.startswith(f"{key}:")]
        assert found, f"no {key} in {self.stdout!r}; {self.stderr!r}"
        return found[0].partition(":")[2].strip()


@dataclass
class Driver:
    """One runtime with a state directory of its own."""

    command: tuple[str, ...]
    directory: Path
    prefix: str
    count: int = 0
    extra_environment: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """Return where the runtime keeps its state."""
        return self.directory / "state"

    @property
    def storage(self) -> Path:
        """Return where the runtime keeps what containers write."""
        return self.directory / "storage"

    def environment(self) -> dict[str, str]:
        """Return the environment of the command."""
        return {
            **os.environ,
            "NESTBOX_ROOT": str(self.state),
            "NESTBOX_STORAGE": str(self.storage),
            **self.extra_environment,
        }

    def arguments(self, *arguments: str) -> list[str]:
        """Return the whole command of a run, which gets a name that a test can recognize."""
        words = list(arguments)
        if "--name" not in words:
            self.count += 1
            words = ["--name", f"{self.prefix}-{self.count}", *words]
        return [*self.command, "run", *words]

    def run(self, *arguments, before=(), input=None, **options) -> Done:
        """Run a container to its end; ``before`` is a command put before the runtime's."""
        return self.call([*before, *self.arguments(*arguments)], input=input, **options)

    def under_capsh(self, dropped: str, *arguments: str, **options) -> Done:
        """Run a container from below a process that lost these capabilities."""
        words = self.arguments(*arguments)
        # Not exec: the shell stays, as the ancestor that lost them.
        script = '"$@"; exit $?'
        before = ["capsh", f"--drop={dropped}", "--", "-c", script, "capsh"]
        return self.call([*before, *words], **options)

    def other(self, *arguments: str, **options) -> Done:
        """Call another command of the runtime."""
        return self.call([*self.command, *arguments], **options)

    def call(self, words, *, input=None, **options) -> Done:
        """Call a command and wait for it."""
        options.setdefault("env", self.environment())
        done = subprocess.run(
            words,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            **options,
        )
        return Done(
            exit_code=done.returncode,
            stdout=done.stdout.decode(errors="surrogateescape"),
            stderr=done.stderr.decode(errors="surrogateescape"),
        )

    def start(self, *arguments: str, **options) -> subprocess.Popen[bytes]:
        """Start a container and return the runtime's process, with pipes for its output."""
        options.setdefault("env", self.environment())
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(
            self.arguments(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def recorded(self, *arguments: str, **options) -> tuple[Done, dict]:
        """Run a container and return its record too."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"record-{self.count}.json"
        done = self.run("--provenance", str(path), *arguments, **options)
        assert path.exists(), done.stderr
        record = json.loads(path.read_text())
        path.unlink()
        return done, record


def expect_line(process: subprocess.Popen[bytes], wanted: bytes) -> None:
    """Wait until a container has printed a line: it has come that far."""
    for line in process.stdout:
        if line.strip() == wanted:
            return
    raise AssertionError(f"it ended without {wanted!r}: {process.stderr.read()!r}")


def end(process: subprocess.Popen[bytes]) -> Done:
    """Wait for a started container."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        raise
    return Done(exit_code=process.returncode, stdout=out.decode(), stderr=err.decode())
