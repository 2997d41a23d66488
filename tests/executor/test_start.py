"""A container that waits for its start: who may start it, hooks, and what it is left with."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nestbox.executor.encode import CREATED, FAILED, SETS
from nestbox.plan import steps as s
from nestbox.policy.launch_spec import HookSpec, LaunchSpec
from tests.executor.boxes import KILL, box, make_root, own_sets, plan_of, program, shell
from tests.executor.talk import Talk, go, hear, talking, text_of

pytestmark = pytest.mark.root

CHMOD = {"x86_64": 90, "aarch64": 53}[os.uname().machine]
STATE = b'{"id":"box","status":"created"}'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@contextlib.contextmanager
def created(
    launch: LaunchSpec, tmp_path: Path, preserved: tuple[int, ...] = ()
) -> Iterator[tuple[Talk, int, str]]:
    """A container that waits, its output, and where it is started."""
    path = str(tmp_path / "start")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        os.chmod(path, 0o777)
        plan = plan_of(msgspec.structs.replace(launch, wait_for_start=True))
        with talking(plan, listener=listener.fileno(), preserved=preserved) as (talk, output):
            listener.close()
            talk.go_on()
            yield talk, output, path


def connected(path: str) -> socket.socket:
    starter = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    starter.connect(path)
    return starter


def start(talk: Talk, path: str, payload: bytes = STATE) -> None:
    with connected(path) as starter:
        go(starter, payload)
        talk.go_on(control=starter)


def test_it_runs_when_it_is_started_and_not_before(root, tmp_path):
    with created(box(root, "echo ran"), tmp_path) as (talk, output, path):
        assert talk.kinds() == [CREATED]
        assert hear(talk.control) is None
        assert text_of(output) == ""
        start(talk, path)
        assert talk.kinds() == [CREATED, SETS]
        assert talk.wait() == 0
        assert text_of(output) == "ran\n"


def test_who_goes_away_has_not_started_it(root, tmp_path):
    with created(box(root, "exit 7"), tmp_path) as (talk, _, path):
        connected(path).close()
        with connected(path) as hasty:
            hasty.send(b"x")
        start(talk, path)
        assert talk.wait() == 7


def test_another_user_cannot_start_it(root, tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)
    with created(box(root, "exit 7"), tmp_path) as (talk, _, path):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setresuid(65534, 65534, 65534)
                starter = connected(path)
                with contextlib.suppress(BrokenPipeError):
                    starter.send(b"g")
                status = 0 if not starter.recv(1) else 2
            except ConnectionResetError:
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert talk.kinds() == [CREATED]
        start(talk, path)
        assert talk.wait() == 7


def test_a_program_that_is_missing_is_found_out_before_it_is_created(root, tmp_path):
    process = shell("", argv=("nosuch",), candidates=("/bin/nosuch", "/sbin/nosuch"))
    with created(box(root, "", process=process), tmp_path) as (talk, _, _):
        assert talk.kinds() == [FAILED]
        assert talk.heard[0].report.errno == errno.ENOENT


def test_a_program_is_found_with_the_capabilities_that_execute_it(root, tmp_path):
    """CAP_DAC_OVERRIDE executes what anyone may execute; access(2) does not count it."""
    (root / "bin/busybox").chmod(0o700)
    sets = msgspec.structs.replace(own_sets(), inheritable=2, permitted=2, effective=2, ambient=2)
    process = shell("exit 6", uid=1000, gid=1000)
    with created(box(root, "", process=process, capabilities=sets), tmp_path) as (talk, _, path):
        start(talk, path)
        assert talk.wait() == 6
    none = msgspec.structs.replace(own_sets(), permitted=0, effective=0)
    (tmp_path / "start").unlink()
    with created(box(root, "", process=process, capabilities=none), tmp_path) as (talk, _, _):
        assert [heard.report.errno for heard in talk.heard] == [errno.EACCES]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_it_while_it_waits(root, tmp_path, number):
    with created(box(root, "exit 7"), tmp_path) as (talk, _, _):
        signal.pidfd_send_signal(talk.pidfd, number)
        assert talk.wait() in {128 + number, -number}


def test_descriptors_are_preserved_and_no_others(root, tmp_path):
    files = [tmp_path / f"kept{number}" for number in range(4)]
    for file in files:
        file.write_text(f"{file.name}\n")
    kept = tuple(os.open(file, os.O_RDONLY) for file in files)
    look = "for n in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo fd $n; done; true"
    script = f"{look}; cat <&3; cat <&6"
    launch = box(root, "", process=shell(script, preserved=4))
    with created(launch, tmp_path, preserved=kept) as (talk, output, path):
        start(talk, path)
        assert talk.wait() == 0
        opened = [f"fd {number}" for number in range(7)]
        assert text_of(output).splitlines() == [*opened, "kept0", "kept3"]
    for fd in kept:
        os.close(fd)


def test_nothing_is_left_open_without_preserved_ones(root, tmp_path):
    with created(box(root, "ls -l /proc/$$/fd"), tmp_path) as (talk, output, path):
        start(talk, path)
        assert talk.wait() == 0
        found = [line.split()[8] for line in text_of(output).splitlines() if "->" in line]
        assert found == ["0", "1", "2"]


def hook(script: str, **changes: object) -> HookSpec:
    found = HookSpec(path="/bin/sh", argv=("sh", "-c", script, "first"), environment=("PATH=/bin",))
    return msgspec.structs.replace(found, **changes)


def test_a_start_hook_gets_the_state_and_runs_in_the_container(root, tmp_path):
    hooks = (
        hook("cat >/tmp/state; readlink /proc/self/fd/2 >/tmp/err"),
        hook("echo $0 >/tmp/name"),
    )
    launch = box(root, "cat /tmp/state /tmp/name", start_hooks=hooks)
    with created(launch, tmp_path) as (talk, output, path):
        start(talk, path)
        assert talk.wait() == 0
        assert text_of(output) == STATE.decode() + "first\n"


def test_a_state_of_full_length_is_no_trouble_for_who_does_not_read_it(root, tmp_path):
    launch = box(
        root,
        "cat /tmp/size",
        start_hooks=(hook("exit 0"), hook("stat -Lc %s /proc/self/fd/0 >/tmp/size")),
    )
    with created(launch, tmp_path) as (talk, output, path):
        start(talk, path, b"x" * 65536)
        assert talk.wait() == 0
        assert text_of(output) == "65536\n"


@pytest.mark.parametrize("no_new_privs", [False, True])
def test_a_start_hook_is_held_by_the_filter(root, tmp_path, no_new_privs):
    process = shell("exit 0", no_new_privs=no_new_privs)
    launch = box(root, "", process=process, start_hooks=(hook("chmod 700 /tmp"),))
    plan = plan_of(launch, s.LoadSeccomp(program=program(CHMOD, KILL)))
    with talking(plan) as (talk, _):
        talk.go_on()
        failed = talk.failure()
        assert failed is not None
        assert failed.values[:2] in {(1, 128 + signal.SIGSYS), (2, signal.SIGSYS)}


@pytest.mark.parametrize(
    ("found", "number", "values"),
    [
        (hook("echo out; echo why >&2; exit 9"), errno.ECHILD, (1, 9)),
        (hook("kill -9 $$"), errno.ECHILD, (2, 9)),
        (hook("", path="/bin/missing"), errno.ENOENT, (0, 0)),
        (hook("sleep 60", timeout_seconds=1), errno.ETIMEDOUT, (0, 0)),
    ],
)
def test_a_hook_that_fails_says_how_and_stops_the_start(root, tmp_path, found, number, values):
    with created(box(root, "exit 0", start_hooks=(found,)), tmp_path) as (talk, _, path):
        start(talk, path)
        failed = talk.failure()
        assert failed is not None
        assert (failed.errno, failed.values[:2]) == (number, values)
        if values == (1, 9):
            assert failed.message == "out\nwhy"
        assert talk.wait() == 1


def test_a_create_hook_runs_before_the_root_is_entered(root, tmp_path):
    script = f"cat >{tmp_path}/state; pwd >{tmp_path}/where; mkdir {root}/dev/made"
    launch = box(
        root,
        "ls /dev",
        create_hooks=(hook(script, path="/bin/sh", environment=("PATH=/bin:/usr/bin",)),),
    )
    plan = plan_of(launch)
    with talking(plan) as (talk, output):
        talk.go_on(lambda step, pid: (STATE, None))
        assert talk.failure() is None, talk.failure()
        assert talk.wait() == 0
        assert text_of(output) == "made\n"
    assert (tmp_path / "state").read_bytes() == STATE
    assert (tmp_path / "where").read_text().strip() == str(root)
    # What it made lies in the /dev of the container, which nobody outside sees.
    assert not (root / "dev/made").exists()
