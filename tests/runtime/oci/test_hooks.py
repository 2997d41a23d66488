"""Hooks of the runtime's own namespaces, run as real programs."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nestbox.errors import LaunchError
from nestbox.oci.hooks import Hook
from nestbox.runtime.oci.hooks import run_hooks

STATE = json.dumps({"ociVersion": "1.3.0", "id": "c", "status": "creating", "pid": 7}).encode()

# 32 and 33 are its own: nobody can change them through it, whatever the shell did to them.
GLIBC_SIGNALS = 0b11 << 31


def shell(script: str, *args: str, env: tuple[str, ...] = (), timeout: int | None = None) -> Hook:
    return Hook(path="/bin/sh", args=("sh", "-c", script, *args), env=env, timeout=timeout)


def failure(*hooks: Hook, kind: str = "createRuntime", first: int = 0) -> str:
    with pytest.raises(LaunchError) as caught:
        run_hooks(kind, hooks, STATE, first=first)
    return f"{caught.value.what}: {caught.value.cause}"


def test_each_hook_reads_the_state(tmp_path: Path) -> None:
    hooks = tuple(shell(f"cat > {tmp_path}/{number}") for number in range(2))
    run_hooks("prestart", hooks, STATE)
    assert [(tmp_path / str(number)).read_bytes() for number in range(2)] == [STATE, STATE]


def test_a_state_larger_than_a_pipe_arrives_whole(tmp_path: Path) -> None:
    state = STATE + b" " * (1 << 20)
    run_hooks("prestart", (shell(f"cat > {tmp_path}/state"),), state)
    assert (tmp_path / "state").read_bytes() == state


def test_a_hook_need_not_read_the_state() -> None:
    run_hooks("prestart", (Hook(path="/bin/true"),), STATE + b" " * (1 << 20))


def test_arguments_and_environment_are_as_given(tmp_path: Path) -> None:
    script = f'printf "%s|" "$0" "$@" > {tmp_path}/args; env > {tmp_path}/env'
    run_hooks("prestart", (shell(script, "zero", "a b", env=("ONE=1", "ONE=2")),), STATE)
    assert (tmp_path / "args").read_text() == "zero|a b|"
    variables = (tmp_path / "env").read_text().split()
    assert "ONE=2" in variables
    assert not {name.partition("=")[0] for name in variables} - {"ONE", "PWD", "_", "SHLVL"}


def test_without_an_environment_it_is_the_runtimes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NESTBOX_TEST", "mine")
    run_hooks("prestart", (shell(f"echo $NESTBOX_TEST > {tmp_path}/value"),), STATE)
    assert (tmp_path / "value").read_text() == "mine\n"


def test_a_hook_without_arguments_gets_its_path(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    script.write_text(f'#!/bin/sh\necho "$0" > {tmp_path}/name\n')
    script.chmod(0o755)
    run_hooks("prestart", (Hook(path=str(script)),), STATE)
    assert (tmp_path / "name").read_text() == f"{script}\n"


def test_a_failure_tells_number_status_and_output(tmp_path: Path) -> None:
    told = failure(
        Hook(path="/bin/true"),
        shell("echo out; echo err >&2; exit 3"),
        shell(f"touch {tmp_path}/ran"),
    )
    assert told == (
        "error running createRuntime hook #1: exit status 3, stdout: out\n, stderr: err\n"
    )
    assert not (tmp_path / "ran").exists()


def test_the_number_counts_from_the_first_hook() -> None:
    assert failure(Hook(path="/bin/false"), kind="poststop", first=4).startswith(
        "error running poststop hook #4: exit status 1"
    )


def test_a_signal_is_named() -> None:
    assert "signal: killed" in failure(shell("kill -9 $$"))


def test_a_program_that_is_not_there() -> None:
    assert failure(Hook(path="/no/such/hook")) == (
        "error running createRuntime hook #0: fork/exec /no/such/hook: no such file or directory"
    )


def test_much_output_is_read_and_cut() -> None:
    told = failure(shell("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2; exit 1"))
    assert "stderr: end" in told
    assert len(told) < 6000


def test_a_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    started = time.monotonic()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        told = failure(shell(f"exec 3> {fifo}; sleep 100 & sleep 100", timeout=1))
        # The fifo is at its end only when no process of the hook is left.
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        assert poll.poll(5000)
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
    assert "hook ran past specified timeout of 1.0s" in told
    assert time.monotonic() - started < 10


def test_a_hook_cannot_leave_the_group_that_a_timeout_kills() -> None:
    leaves = "import os; os.setpgid(0, os.getpgid(os.getppid()))"
    hook = Hook(path=sys.executable, args=("python", "-I", "-c", leaves), timeout=20)
    assert "PermissionError" in failure(hook)


def test_what_a_hook_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    started = time.monotonic()
    run_hooks("prestart", (shell(f"sleep 30 & echo $! > {tmp_path}/pid"),), STATE)
    assert time.monotonic() - started < 10
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_it_gets_no_descriptor_and_no_signal_setting_of_ours(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    script = f"ls /proc/$$/fd > {tmp_path}/fds; cat /proc/self/status > {tmp_path}/status"
    try:
        run_hooks("prestart", (shell(script),), STATE)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, before)
        os.close(read)
        os.close(write)
    assert str(read) not in (tmp_path / "fds").read_text().split()
    status = dict(line.split(":\t", 1) for line in (tmp_path / "status").read_text().splitlines())
    assert int(status["SigIgn"], 16) & ~GLIBC_SIGNALS == 0
    assert int(status["SigBlk"], 16) == 0


_IN_A_TERMINAL = """
import fcntl, pty, sys, termios
from nestbox.oci.hooks import Hook
from nestbox.runtime.oci.hooks import run_hooks

fcntl.ioctl(pty.openpty()[1], termios.TIOCSCTTY, 0)
open("/dev/tty").close()
script = "(: </dev/tty) 2>/dev/null && exit 7; exit 0"
run_hooks("poststop", (Hook(path="/bin/sh", args=("sh", "-c", script), env=(), timeout=20),), b"{}")
"""


def test_a_hook_cannot_type_into_our_terminal() -> None:
    """It can be that of a user, while the terminal is that of root (TIOCSTI, as CVE-2016-2568)."""
    done = subprocess.run(
        [sys.executable, "-c", _IN_A_TERMINAL],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
