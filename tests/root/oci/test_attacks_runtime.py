"""What others could do to the runtime: documents, names, state directories, sockets, variables."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess

import pytest

from tests.root.driver import SECONDS
from tests.root.oci.test_config import add_mount, in_user_namespace

pytestmark = pytest.mark.root

FAILED = 1  # enum nb_report_kind


def refused(oci, done):
    """Hold that a command was refused in words and left nothing."""
    assert done.exit_code == 1, done
    assert "Traceback" not in done.stderr
    assert not oci.root.exists() or not os.listdir(oci.root)


# Documents.


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0" * 64,
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"ociVersion": "1.0.2", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"ociVersion": "' + b"1" * (33 << 20) + b'"}',
        b'{"ociVersion": "1.0.2", "process": {"user": {"uid": 1e400}}}',
        b'{"ociVersion": "1.0.2", "process": {"user": {"uid": -1}}}',
        b'{"ociVersion": "1.0.2", "root": {"path": "\xff\xfe"}}',
        b'{"ociVersion": "1.0.2", "hostname": "\\ud800"}',
    ],
    ids=["empty", "nuls", "deep", "deep-objects", "deep-unknown", "huge", "infinite", "negative",
         "no-utf8", "half-a-character"],
)  # fmt: skip
def test_a_document_made_to_break_its_reader_is_refused(oci, bundle, text):
    bundle.write()
    (bundle.directory / "config.json").write_bytes(text)
    refused(oci, oci.call("run", "--bundle", str(bundle.directory), oci.new_id()))


@pytest.mark.parametrize("kind", ["fifo", "directory", "device", "loop"])
def test_a_configuration_that_is_no_file_is_refused_at_once(oci, bundle, kind):
    path = bundle.directory / "config.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    refused(oci, oci.call("run", "--bundle", str(bundle.directory), oci.new_id()))


@pytest.mark.parametrize(
    "where",
    [
        ("process", "args", 0), ("process", "env", 0), ("process", "cwd"), ("hostname",),
        ("root", "path"), ("mounts", 0, "destination"), ("mounts", 1, "source"),
        ("mounts", 1, "type"), ("mounts", 1, "options", 0), ("process", "capabilities",
        "bounding", 0), ("linux", "namespaces", 0, "type"),
    ],
)  # fmt: skip
def test_a_nul_character_ends_no_text_early(oci, bundle, where):
    place = bundle.config
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] += "\0x"
    refused(oci, oci.run(bundle))


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "a/b", "", "a\nb", "a b", "@roots", "é", "x" * 300]
)
@pytest.mark.parametrize("command", ["state", "kill", "delete", "start", "create"])
def test_a_containers_name_is_no_path(oci, bundle, command, name):
    before = sorted(os.listdir(oci.directory.parent))
    words = ("create", "--bundle", str(bundle.write())) if command == "create" else (command,)
    done = oci.call(*words, "--", name) if command != "create" else oci.call(*words, name)
    assert done.exit_code != 0
    assert "Traceback" not in done.stderr
    assert set(os.listdir(oci.directory.parent)) - {*before} <= {"oci"}


# The state directory.


@pytest.mark.parametrize("what", ["link", "other", "open"])
def test_a_state_directory_that_others_could_have_made_is_not_used(oci, bundle, tmp_path, what):
    name = oci.up(bundle)
    pid = oci.state(name)["pid"]
    elsewhere = tmp_path / "elsewhere"
    if what == "link":
        oci.root.rename(elsewhere)
        oci.root.symlink_to(elsewhere)
    elif what == "other":
        os.chown(oci.root, 1000, 1000)
    else:
        oci.root.chmod(0o777)
    try:
        for command in ("state", "kill", "delete", "start", "pause"):
            done = oci.call(command, name)
            assert done.exit_code == 1
            # In one of another user root is that user, who may not even write root's log.
            words = "permission denied" if what == "other" else "cannot use the state directory"
            assert words in done.stderr, command
        assert oci.try_create(bundle, oci.new_id()).exit_code == 1
        assert os.path.exists(f"/proc/{pid}/ns/pid")
    finally:
        if what == "link":
            oci.root.unlink()
            elsewhere.rename(oci.root)
        os.chown(oci.root, 0, 0)
        oci.root.chmod(0o700)


def test_what_a_state_directory_holds_is_closed_to_others(oci, bundle):
    name = oci.create(bundle)
    for path in (oci.root, oci.root / name):
        assert path.stat().st_mode & 0o077 == 0
    for path in (oci.root / name).iterdir():
        if not path.is_symlink():
            assert path.stat().st_mode & 0o077 == 0, path


def test_secrets_in_variables_are_in_no_record(oci, bundle):
    bundle.process["env"].append("PASSWORD=hunter2secret")
    name = oci.up(bundle)
    for path in (oci.root / name).iterdir():
        if path.is_file() and path.name != "config.json":
            assert b"hunter2secret" not in path.read_bytes(), path.name
    assert "hunter2secret" not in "".join(oci.messages())


# The socket at which a created container waits.


def connect(path):
    """Return a connection to a socket by a name short enough."""
    with contextlib.chdir(path.parent), contextlib.ExitStack() as on_failure:
        client = on_failure.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        client.connect(path.name)
        on_failure.pop_all()
    return client


@contextlib.contextmanager
def as_user(uid):
    """Act on files as another user."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.parametrize("user_namespace", [False, True])
@pytest.mark.parametrize("uid", [1000, 65534, 100000])
def test_no_other_user_starts_a_container(oci, bundle, uid, user_namespace):
    if user_namespace:
        in_user_namespace(bundle)
    name = oci.create(bundle, umask=0)
    path = oci.root / name / "start"
    with as_user(uid), pytest.raises(PermissionError):
        path.stat()
    # Nor where the directories would not keep him out.
    path.parent.chmod(0o755)
    with contextlib.chdir(path.parent), as_user(uid):
        assert os.access(".", os.X_OK, effective_ids=True)
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with client, pytest.raises(PermissionError):
            client.connect(path.name)
    assert oci.status(name) == "created"


def test_who_connects_and_says_nothing_starts_nothing(oci, bundle):
    name = oci.create(bundle)
    path = oci.root / name / "start"
    for message in (b"", b"x", b"start", b"g" * 70000):
        with contextlib.closing(connect(path)) as client, contextlib.suppress(OSError):
            client.send(message)
    assert oci.status(name) == "created"
    oci.start(name)
    assert oci.status(name) == "running"


def fake_report(kind, step, message=b"evil"):
    """Return a report as the executor sends them."""
    return struct.pack("=IiiI6Q160s", kind, step, 1, 0, *[2**64 - 1] * 6, message)


@pytest.mark.parametrize(
    "reports",
    [
        [fake_report(FAILED, 10**6)],
        [fake_report(FAILED, -(2**31))],
        [fake_report(FAILED, 0, b"\xff" * 160)],
        [fake_report(99, 0), fake_report(FAILED, 3)],
        [b"short"],
        [b"x" * 4096],
    ],
    ids=["far", "negative", "no-text", "unknown-kind", "short", "long"],
)
def test_start_believes_no_false_executor(oci, bundle, reports):
    """A container process that may trace the first one could take its place at the socket."""
    name = oci.create(bundle)
    path = oci.root / name / "start"
    path.unlink()
    directory = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(f"/proc/self/fd/{directory}/start")
        server.listen(1)
        starting = subprocess.Popen(
            oci.words("start", name), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        client, _ = server.accept()
        client.recv(65537)
        for report in reports:
            socket.send_fds(client, [report], [server.fileno()] * 3)
        client.close()
        _, errors = starting.communicate(timeout=SECONDS)
    os.close(directory)
    assert starting.returncode == 1
    assert b"Traceback" not in errors


# Variables of the caller, and hooks.


def test_variables_of_the_caller_load_nothing_into_the_runtime(oci, bundle, tmp_path):
    evil = tmp_path / "evil"
    evil.mkdir()
    for module in ("os", "msgspec", "nestbox", "sitecustomize", "usercustomize", "startup"):
        (evil / f"{module}.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')")
    variables = {
        **os.environ,
        "PYTHONPATH": str(evil),
        "PYTHONHOME": str(evil),
        "PYTHONSTARTUP": str(evil / "startup.py"),
        "PYTHONUSERBASE": str(evil),
        "PYTHONINSPECT": "1",
    }
    done = oci.run(bundle.shell("env"), env=variables, cwd=evil)
    assert done.exit_code == 0, done.stderr
    assert "PYTHON" not in done.stdout
    assert not (tmp_path / "loaded").exists()


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "NOTIFY_SOCKET"])
def test_variables_of_the_container_are_the_programs_alone(oci, bundle, tmp_path, name):
    evil = str(tmp_path / "evil.so")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"env > {tmp_path}/seen"]}
    bundle.config["hooks"] = {"createRuntime": [hook]}
    bundle.process["env"].append(f"{name}={evil}")
    done = oci.run(bundle.shell("env"))
    assert f"{name}={evil}\n" in done.stdout, done.stderr
    assert evil not in (tmp_path / "seen").read_text()


@pytest.mark.parametrize(
    "kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]
)
def test_what_a_hook_makes_is_not_for_everybody_to_write(oci, bundle, tmp_path, kind):
    (tmp_path / "shared").mkdir()
    add_mount(bundle, tmp_path / "shared", str(tmp_path / "shared"), "bind")
    made = tmp_path / "shared" / "made"
    script = f"echo > {made}; for f in /proc/self/fd/*; do echo $f >> {made}; done"
    bundle.config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    done = oci.run(bundle.args("true"))
    assert done.exit_code == 0, done.stderr
    assert made.stat().st_mode & 0o777 == 0o644
    found = {int(line.rpartition("/")[2]) for line in made.read_text().split()}
    assert found <= {0, 1, 2, 3}  # the last is that of the list


@pytest.mark.parametrize("path", ["bin/true", "", "../../bin/true"])
def test_a_hook_without_an_absolute_path_is_refused(oci, bundle, path):
    bundle.config["hooks"] = {"createRuntime": [{"path": path}]}
    refused(oci, oci.run(bundle.args("true")))


def test_a_class_of_resctrl_is_no_path(oci, bundle):
    for name in ("../x", "..", "a/b"):
        bundle.linux["intelRdt"] = {"closID": name}
        refused(oci, oci.run(bundle.args("true")))


def test_the_state_names_no_file_of_another_container(oci, bundle):
    """A state under another name would let one delete end what belongs to another."""
    one, other = oci.up(bundle), oci.up(bundle)
    state = (oci.root / other / "container.json").read_bytes()
    (oci.root / one / "container.json").write_bytes(state)
    done = oci.call("kill", one, "KILL")
    assert done.exit_code == 1
    assert other in done.stderr
    assert oci.status(other) == "running"
    assert json.loads(state)["id"] == other
