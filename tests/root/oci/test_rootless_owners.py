"""Containers of somebody else: root on those of a user, and users on those of root and others.

What is in the state directory of a user is the user's to write, so nothing that root does at its
word may be more than that user could do alone.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root.driver import SECONDS
from tests.root.oci.rootless import UID, Rootless, rootless, users_bundle


@pytest.fixture
def user(oci) -> Iterator[Rootless]:
    """Return the runtime of a user."""
    if not oci.is_nestbox:
        pytest.skip("other runtimes act as root on what a user has written")
    with rootless(oci.command) as runtime:
        yield runtime


@pytest.fixture
def root(user):
    """Return the runtime of root, on the state of the user."""
    return user.by_root()


@pytest.fixture
def name(user, image) -> str:
    """Return a container of the user that runs."""
    return user.up(users_bundle(user, image))


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process of root."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def forge(user, name: str, **members) -> None:
    """Change the state as its owner can."""
    file = user.root / name / "container.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **members}))


def point_at(user, name: str, pid: int) -> None:
    """Let the state say that another process is the container's first."""
    link = user.root / name / "process"
    link.unlink()
    link.symlink_to(f"{pid}:{start_of(pid)}")


def test_root_sees_and_ends_the_container_of_a_user(user, root, name):
    assert root.ok("list", "--quiet").stdout.split() == [name]
    state = root.state(name)
    assert (state["status"], state["owner"]) == ("running", "rootless")
    done = root.exec(name, "sh", "-c", "id -u; cat /proc/self/uid_map")
    assert done.stdout.split() == ["0", "0", str(UID), "1"], done
    root.ok("kill", name, "KILL")
    root.wait(name)
    root.ok("delete", name)
    assert user.kept() == []


def test_what_root_starts_there_has_the_rights_of_the_user(root, name):
    status = root.exec(name, "cat", "/proc/self/status").stdout
    assert "CapEff:\t0000000020000420\n" in status  # the three that `spec` gives
    assert "Groups:\t \n" in status


def test_a_hook_of_a_user_is_not_run_by_root(user, root, name):
    witness = user.home / "runtime" / "witness"
    config = user.root / name / "config.json"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"id -u >{witness}"]}
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "hooks": {"poststop": [hook]}}))
    forge(user, name, has_poststop=True)
    root.ok("delete", "--force", name)
    assert witness.read_text() == f"{UID}\n"


def test_a_hook_of_a_user_learns_no_variable_of_root(user, root, name, monkeypatch):
    """One that names no variables gets those of the runtime."""
    witness = user.home / "runtime" / "witness"
    config = user.root / name / "config.json"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"export -p >{witness}"]}
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "hooks": {"poststop": [hook]}}))
    forge(user, name, has_poststop=True)
    monkeypatch.setenv("SECRET_OF_ROOT", "secret")
    root.ok("delete", "--force", name)
    assert "PATH" in witness.read_text()
    assert "ecret" not in witness.read_text()


@pytest.mark.parametrize("command", [("kill",), ("delete", "--force"), ("exec",), ("ps",)])
def test_a_process_of_root_is_not_touched(user, root, name, bystander, command):
    first = user.state(name)["pid"]
    point_at(user, name, bystander.pid)
    words = {"kill": (name, "KILL"), "exec": (name, "true")}.get(command[0], (name,))
    done = root.call(*command, *words)
    assert bystander.poll() is None
    if command[0] in {"kill", "exec"}:
        assert done.exit_code != 0
        assert "not permitted" in done.stderr or "denied" in done.stderr
    if Path(f"/proc/{first}").exists():
        os.kill(first, 9)
    user.call("delete", "--force", name)


def test_cgroups_of_root_are_not_touched(user, root, name, bystander):
    tops = [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if " - cgroup" in line]  # fmt: skip
    top = next(one for one in tops if one.name in {"pids", "cgroup"})
    cgroup = top / f"nestbox-test-{os.urandom(4).hex()}"
    cgroup.mkdir()
    try:
        (cgroup / "cgroup.procs").write_text(str(bystander.pid))
        version = 1 if top.name == "pids" else 2
        key = "pids" if version == 1 else ""
        located = {
            "version": version,
            "directories": {key: str(cgroup)},
            "mounts": {key: str(top)},
            "made": [str(cgroup)],
            "named": True,
        }
        forge(user, name, cgroup=located, namespaces=["user", "mnt"])
        root.call("delete", "--force", name)
        assert bystander.poll() is None
        assert cgroup.exists()
    finally:
        (top / "cgroup.procs").write_text(str(bystander.pid))
        cgroup.rmdir()


def test_files_of_root_are_not_removed(user, root, name, tmp_path):
    (tmp_path / "kept").write_text("kept")
    forge(user, name, resctrl=str(tmp_path), rootfs=str(tmp_path), root_mount=1)
    directory = user.root / name
    (directory / "notify").symlink_to(tmp_path)
    root.call("delete", "--force", name)
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize("file", ["container.json", "config.json"])
def test_root_does_not_wait_for_the_writer_of_a_pipe(user, root, name, file):
    (user.root / name / file).unlink()
    os.mkfifo(user.root / name / file, 0o666)
    root.call("list")
    assert root.exec(name, "true").exit_code == 255
    root.call("delete", "--force", name)


def test_a_link_in_place_of_the_state_directory_is_refused(user, root, oci, bundle):
    """Root would act on its own containers at the word of a user."""
    victim = oci.up(bundle)
    user.root.symlink_to(oci.root)
    os.chown(user.root, UID, UID, follow_symlinks=False)
    done = root.call("delete", "--force", victim)
    assert (done.exit_code, "it is not a directory" in done.stderr) == (1, True), done.stderr
    assert oci.status(victim) == "running"


COMMANDS = {
    "list": ("list",),
    "state": ("state", "{}"),
    "start": ("start", "{}"),
    "exec": ("exec", "{}", "true"),
    "kill": ("kill", "{}", "KILL"),
    "pause": ("pause", "{}"),
    "update": ("update", "--pids-limit", "5", "{}"),
    "ps": ("ps", "{}"),
    "events": ("events", "--stats", "{}"),
    "delete": ("delete", "{}"),
    "delete --force": ("delete", "--force", "{}"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_user_is_kept_from_the_containers_of_root(user, command):
    theirs = user.home / "of-root"
    theirs.mkdir(mode=0o700)
    words = (word.format("box") for word in COMMANDS[command])
    done = user.call("--root", str(theirs), *words)
    assert done.exit_code in {1, 255}
    assert "permission denied" in done.stderr


def test_a_user_is_kept_from_the_containers_of_another(user, name):
    with rootless(user.command, uid=UID + 1) as other:
        done = other.call("--root", str(user.root), "kill", name, "KILL")
        assert (done.exit_code, "permission denied" in done.stderr) == (1, True), done.stderr
        user.directory.chmod(0o755)
        done = other.call("--root", str(user.root), "kill", name, "KILL")
        assert f"it belongs to another user, {UID} (try: act as that user" in done.stderr
    assert user.status(name) == "running"


def test_root_that_would_keep_its_rights_does_nothing(user, root, name):
    kept = ("setpriv", "--securebits=+no_setuid_fixup", *root.words("delete", "--force", name))
    done = subprocess.run(kept, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, "keep the capabilities of root" in done.stderr) == (1, True)
    assert user.status(name) == "running"
