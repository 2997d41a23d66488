"""What other programs do in an environment: each tries to start one small container.

A peer has several ways to be called, from the plain one to those that somebody finds who reads its
manual when the plain one fails; it works when any of them does. The container is the same for all:
a root directory of its own, a /proc, a /dev, and `echo` in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.root.nesting.session import Answer, Session
from tests.root.nesting.tree import IMAGE

_WORD = "alive"
# Of use is what has the null device and sees itself.
_ECHO = ("/bin/sh", "-c", f"test -c /dev/null && test -d /proc/self && echo {_WORD}")
_WRITE = 'mkdir -p "$1" && printf %s "$2" > "$1/config.json"'
_SECONDS = 20.0
_DUMP_LINES = 12

Config = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What one program did in one environment."""

    works: bool
    how: str = ""  # what had to be added to the plain call
    reason: str = ""  # why the plain call failed

    def cell(self) -> str:
        """Return the words for a table."""
        if self.works:
            return f"yes, with {self.how}" if self.how else "yes"
        return f"no: {self.reason}"


@dataclass(frozen=True)
class Way:
    """One way to call a program."""

    how: str
    call: Callable[[Session], Answer]


def judge(session: Session, ways: Iterator[Way]) -> Verdict:
    """Return what becomes of the first way that works, else of the plain one."""
    reason = None
    for way in ways:
        answer = way.call(session)
        if answer.status == 0 and _WORD in answer.out.split():
            return Verdict(works=True, how=way.how)
        reason = reason or _reason(answer)
    return Verdict(works=False, reason=reason or "")


def _reason(answer: Answer) -> str:
    """Return what a program said last, in a few words and without what differs each time."""
    if answer.status == -1:
        return "does not end"
    lines = [line for line in answer.err.splitlines() if line.strip()]
    causes = [line.strip() for line in lines if line.startswith("  because: ")]
    if len(lines) > _DUMP_LINES:
        lines = lines[:1]  # then come the stacks and registers of a Go program
    text = (causes or lines or [f"status {answer.status}"])[-1].removeprefix("because: ")
    text = re.sub(r'^time="[^"]*" |^\S*\d\d:\d\d:\S*Z?:? |level=\w+ |msg=', "", text)
    text = re.sub(r"^(bwrap|runc|crun|Error|ERRO\S*):? ", "", text.replace('\\"', "'").strip())
    text = re.sub(r"\b(\d{2,}|[0-9a-f]{12,})\b", "N", text.strip('" '))
    return text if len(text) <= 90 else f"{text[:40]}…{text[-45:]}"


def nestbox() -> Iterator[Way]:
    """Yield the one way to call nestbox."""
    yield Way("", lambda session: session.call("nestbox", "run", "--rootfs", IMAGE, "--", *_ECHO))


def runtime(program: str) -> Iterator[Way]:
    """Yield the ways to call runc or crun: with its own `spec`, then with less and less of it."""
    yield Way("", _bundled(program, (), ()))
    yield Way("--rootless", _bundled(program, ("--rootless",), ()))
    for rootless in ((), ("--rootless",)):
        words = ", ".join((*rootless, "fewer settings"))
        yield Way(words, _bundled(program, rootless, (), _plainer))
        yield Way(f"{words}, --no-pivot", _bundled(program, rootless, ("--no-pivot",), _plainer))
        yield Way(f"{words}, the outer /proc", _bundled(program, rootless, (), _outer_proc))
    if "crun" in program:
        manager = (program, "--cgroup-manager=disabled")
        for rootless in ((), ("--rootless",)):
            for more in ((), ("--no-pivot",)):
                words = (*rootless, "fewer settings", manager[1], "--no-new-keyring", *more)
                call = _bundled(manager, rootless, ("--no-new-keyring", *more), _plainer)
                yield Way(", ".join(words), call)


def podman() -> Iterator[Way]:
    """Yield the ways to call podman."""
    less = ("--network=none", "--cgroups=disabled", "--ulimit=host")
    for extra in ((), less, (*less, "--privileged"), (*less, "--privileged", "--pid=host")):
        words = ("podman", "--root=/tmp/podman", "--runroot=/tmp/podman-run", "run", "--rm")
        command = (*words, *extra, "--rootfs", IMAGE, *_ECHO)
        yield Way(" ".join(extra), _called(*command))


def bubblewrap() -> Iterator[Way]:
    """Yield the ways to call bubblewrap."""
    root = ("--bind", IMAGE, "/")
    fresh = ("--proc", "/proc", "--dev", "/dev")
    outer = ("--ro-bind", "/proc", "/proc", "--dev", "/dev")
    binds = ("--ro-bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev")
    yield Way("", _called("bwrap", *root, *fresh, "--unshare-all", *_ECHO))
    for user in ((), ("--unshare-user",)):
        yield Way(
            " ".join(("fewer namespaces", *user)), _called("bwrap", *root, *fresh, *user, *_ECHO)
        )
        yield Way(
            " ".join(("the outer /proc", *user)), _called("bwrap", *root, *outer, *user, *_ECHO)
        )
        yield Way(
            " ".join(("the outer /proc and /dev", *user)),
            _called("bwrap", *root, *binds, *user, *_ECHO),
        )


def _called(*words: str) -> Callable[[Session], Answer]:
    return lambda session: session.call(*words, seconds=_SECONDS)


def _bundled(
    program: str | tuple[str, ...],
    spec: tuple[str, ...],
    extra: tuple[str, ...],
    change: Callable[[Config], None] = lambda config: None,
) -> Callable[[Session], Answer]:
    """Return a call of an OCI runtime with a bundle that its own `spec` made."""
    command = (program,) if isinstance(program, str) else program
    bundle, state = "/tmp/bundle", "/tmp/peers"

    def call(session: Session) -> Answer:
        session.call("rm", "-rf", bundle)
        session.call("mkdir", bundle)
        made = session.call(command[0], "spec", *spec, "--bundle", bundle, seconds=_SECONDS)
        read = session.call("cat", f"{bundle}/config.json")
        if made.status or read.status:
            return made
        config = json.loads(read.out)
        config["process"] |= {"terminal": False, "args": list(_ECHO)}
        config["root"] = {"path": IMAGE}
        change(config)
        session.call("sh", "-c", _WRITE, "sh", bundle, json.dumps(config))
        return session.call(
            *command, "--root", state, "run", *extra, "--bundle", bundle, "peer", seconds=_SECONDS
        )

    return call


def _plainer(config: Config) -> None:
    """Leave out what needs a right: limits, capabilities, mounts of cgroup and mqueue."""
    config["process"].pop("rlimits", None)
    config["process"]["capabilities"] = {}
    config["mounts"] = [
        one for one in config["mounts"] if one["type"] not in {"cgroup", "mqueue", "sysfs"}
    ]
    config["linux"].pop("resources", None)
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []


def _outer_proc(config: Config) -> None:
    """Bind the outer /proc, and share the pid namespace that it shows."""
    _plainer(config)
    for one in config["mounts"]:
        if one["destination"] == "/proc":
            one |= {"type": "bind", "source": "/proc", "options": ["rbind"]}
    config["linux"]["namespaces"] = [
        one for one in config["linux"]["namespaces"] if one["type"] != "pid"
    ]
