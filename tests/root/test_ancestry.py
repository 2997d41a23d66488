"""At which process a capability was lost, in chains of processes that are made for it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.users import another_user

pytestmark = pytest.mark.root

NESTBOX = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "nestbox"
_SECONDS = 30

Explained = Callable[[list[str]], dict[str, Any]]


@pytest.fixture
def explained() -> Iterator[Explained]:
    """Return a function that starts a chain, and explains the process at its end.

    The command must end in ``sh -c SCRIPT``, with the script as its last word still to be added.
    """
    started: list[subprocess.Popen[str]] = []

    def explain(command: list[str]) -> dict[str, Any]:
        script = "echo ready; read line"
        process = subprocess.Popen(
            [*command, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        pid = youngest(process.pid)
        done = subprocess.run(
            [NESTBOX, "explain", "--pid", str(pid), "-o", "json"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        return {**json.loads(done.stdout), "first": process.pid}

    yield explain
    for process in started:
        # The end of its input ends the chain, so that each of it tidies up.
        try:
            process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=_SECONDS)
            raise


def youngest(pid: int) -> int:
    """Return the last process of an unbranched chain."""
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            return pid
        pid = int(children[-1])


def lost(account: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what is said of a capability that is absent."""
    (absence,) = (one for one in account["absent"] if name in one["names"])
    found: dict[str, Any] = absence
    return found


def chain(*programs: str) -> list[str]:
    """Return nested shells, each of which starts the next program as a child of its own."""
    *outer, last = programs
    command = shlex.split(last)
    for program in reversed(outer):
        command = [*shlex.split(program), "sh", "-c", f'{shlex.join(command)} "$0"; true']
    return command


def test_capsh(explained: Explained) -> None:
    script = shlex.quote('sh -c "$0"; true')
    account = explained(shlex.split(f"capsh --drop=cap_net_raw --shell=/bin/sh -- -c {script}"))
    one = lost(account, "CAP_NET_RAW")
    assert re.fullmatch(rf"pid {account['first']} \(sh\)", one["lost_at"])
    assert one["cause"] == "not-in-outer-bounding"


def test_bounding_set_of_a_service(explained: Explained) -> None:
    """As systemd does it: the manager has all, the child that becomes the service has less."""
    account = explained(chain("env", "setpriv --bounding-set=-net_raw,-sys_boot sh -c"))
    service = account["facts"]["itself"]["pid"]
    for name in ("CAP_NET_RAW", "CAP_SYS_BOOT"):
        assert lost(account, name)["lost_at"] == f"pid {service} itself"


def test_the_outermost_of_two_that_drop(explained: Explained) -> None:
    account = explained(
        chain("setpriv --bounding-set=-net_raw", "setpriv --bounding-set=-net_raw,-kill sh -c")
    )
    assert lost(account, "CAP_NET_RAW")["lost_at"].startswith(f"pid {account['first']} (")
    assert lost(account, "CAP_KILL")["lost_at"].endswith(" itself")


def test_permitted_set_of_another_user(explained: Explained) -> None:
    account = explained([*another_user(), "sh", "-c"])
    one = lost(account, "CAP_NET_RAW")
    assert one["cause"] == "not-in-outer-permitted"
    assert account["facts"]["uids"][1] == 65534
    assert f"pid {account['first']}" in one["lost_at"]


def test_user_namespace_gives_all_but_over_itself(explained: Explained) -> None:
    account = explained(["unshare", "--user", "--map-root-user", "sh", "-c"])
    assert account["absent"] == []
    assert "user" in account["facts"]["foreign"]


def test_container_in_a_container(explained: Explained, tmp_path: Path) -> None:
    """The inner one is explained from the outside: the process that made it is the one."""
    root = tmp_path / "root"
    account = explained(
        [
            *(str(NESTBOX), "run", "-i", "--root", str(root), "--cap-add", "SYS_ADMIN"),
            *("--cap-drop", "NET_RAW", "--", "sh", "-c"),
        ]
    )
    one = lost(account, "CAP_NET_RAW")
    assert one["cause"] == "not-in-outer-bounding"
    assert one["lost_at"] == f"pid {account['facts']['itself']['pid']} itself"
    assert {"mnt", "pid"} <= set(account["facts"]["foreign"])


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = subprocess.run(
        [NESTBOX, "explain", "--pid", str(gone.pid)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 125
    assert f"cannot explain process {gone.pid}" in done.stderr
