"""podman as an ordinary user: the runtime is root of podman's user namespace, and nobody outside.

Without cgroups, as on a machine where nobody delegates any, and with storage that needs no device.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.engines.enclosure import PATH, Enclosure
from integration.engines.images import NAME
from integration.engines.rootless import FIRST, UID, RootlessPodman
from integration.engines.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not shutil.which("newuidmap", path=PATH), reason="newuidmap is not installed (package uidmap)"
)


@pytest.fixture(scope="module")
def store(engine_runtime, layer) -> Iterator[RootlessPodman]:
    """Return podman of a user, in an enclosure of its own."""
    place = Enclosure()
    made = RootlessPodman(place, engine_runtime, layer)
    yield made
    made.close()
    place.close()


@pytest.fixture
def podman(store) -> Iterator[RootlessPodman]:
    """Return that podman, without containers before and after."""
    yield store
    store.remove_all()


def test_run(podman):
    done = podman.run(NAME, "sh", "-c", "id -u; echo err >&2; exit 7", check=False)
    assert (done.status, done.out, done.err) == (7, "0\n", "err\n")


def test_it_is_root_of_ids_that_belong_to_the_user(podman):
    rows = podman.run(NAME, "cat", "/proc/self/uid_map").out.splitlines()
    assert [row.split() for row in rows] == [["0", str(UID), "1"], ["1", str(FIRST), "65536"]]
    assert podman.run("--user=1000:1000", NAME, "id", "-u").out == "1000\n"


def test_the_ids_of_the_user_can_be_kept(podman):
    assert podman.run("--userns=keep-id", NAME, "id", "-u").out == f"{UID}\n"


def test_exec_and_top(podman):
    name = podman.start(NAME, "sleep", "1357")
    assert podman("exec", name, "id", "-u").out == "0\n"
    assert podman("exec", "--user=1000", name, "id", "-u").out == "1000\n"
    assert podman("top", name, "user", "args").out.splitlines()[1].split() == [
        "root", "sleep", "1357"
    ]  # fmt: skip


def test_signals_stop_and_start(podman):
    script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done"
    name = podman.start(NAME, "sh", "-c", script)
    wait_until(lambda: "ready" in podman("logs", name).out, f"{name} is ready")
    podman("stop", "--time=30", name)
    assert podman.state(name) == "exited 4"
    podman("start", name)
    podman("kill", "--signal=KILL", name)
    assert podman("wait", name).out == "137\n"


def test_removed_while_it_runs(podman):
    name = podman.start(NAME, "sleep", "1000")
    podman("rm", "--force", "--time=0", name)
    assert podman("container", "exists", name, check=False).status == 1
    left = [path for path in podman.home.rglob(f"*{name}*") if "@records" not in path.parts]
    assert left == []


@pytest.mark.parametrize(
    "flags",
    [
        ("--read-only",),
        ("--tmpfs=/tmp",),
        ("--pid=host",),
        ("--uts=host",),
        ("--network=host",),
        ("--privileged",),
        ("--init",),
        ("--cgroups=disabled",),
        ("--security-opt=no-new-privileges",),
        ("--device=/dev/null:/dev/mine",),
        ("--sysctl=net.ipv4.ip_forward=1",),
    ],
    ids=lambda flags: flags[0],
)
def test_flags(podman, engine_runtime, flags):
    if engine_runtime.name == "runc" and flags[0] in {"--read-only", "--tmpfs=/tmp"}:
        pytest.skip("Debian's runc copies into a tmpfs by way of /tmp, where podman lets it not")
    if engine_runtime.name == "runc" and flags[0] == "--cgroups=disabled":
        pytest.skip("podman knows that runc has no option for it")
    network = () if flags[0] == "--network=host" else ("--network=none",)
    assert podman("run", "--rm", *network, *flags, NAME, "echo", "up").out == "up\n"


def test_a_volume_of_the_user(podman):
    given = podman.home / "given"
    given.mkdir(exist_ok=True)
    given.chmod(0o777)
    podman.run("--volume", f"{given}:/given", NAME, "sh", "-c", "echo made >/given/made")
    made = given / "made"
    assert (made.read_text(), made.stat().st_uid) == ("made\n", UID)
    done = podman.run("--volume", f"{given}:/given:ro", NAME, "touch", "/given/other", check=False)
    assert (done.status, "Read-only file system" in done.err) == (1, True)


@pytest.mark.parametrize(("program", "status"), [("nothing-here", 127), ("/etc/data", 126)])
def test_a_program_that_cannot_start_has_podmans_status(podman, program, status):
    assert podman.run(NAME, program, check=False).status == status


def test_a_limit_of_files_above_the_users_is_clamped(podman, engine_runtime):
    if not engine_runtime.is_nestbox:
        pytest.skip("another runtime refuses it")
    done = podman.run("--ulimit=nofile=100000000", NAME, "sh", "-c", "ulimit -n")
    assert int(done.out) < 100_000_000


def test_what_is_on_the_host_alone_is_out_of_reach(podman):
    done = podman.run("--volume", f"{Path('/root')}:/host", NAME, "ls", "/host", check=False)
    assert done.status != 0
