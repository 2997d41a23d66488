"""Documents about the state of a container."""

from __future__ import annotations

import subprocess
import sys

from nestbox.oci import config, state
from nestbox.oci.state import seccomp_document, state_document, status_document

RUNNING = state_document("c1", status="running", pid=42, bundle="/b", annotations={"k": "v"})


def test_the_state_for_hooks() -> None:
    assert list(RUNNING.items()) == [
        ("ociVersion", "1.3.0"),
        ("id", "c1"),
        ("status", "running"),
        ("pid", 42),
        ("bundle", "/b"),
        ("annotations", {"k": "v"}),
    ]


def test_what_there_is_not_is_left_out() -> None:
    found = state_document("c1", status="stopped", pid=0, bundle="/b", annotations={})
    assert found == {"ociVersion": "1.3.0", "id": "c1", "status": "stopped", "bundle": "/b"}


def test_the_status_that_is_printed() -> None:
    found = status_document(RUNNING, rootfs="/b/r", created="2026-01-02T03:04:05Z", owner="root")
    assert list(found) == [
        "ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner",
    ]  # fmt: skip
    assert (found["pid"], found["owner"]) == (42, "root")


def test_a_stopped_container_has_pid_zero_and_an_owner_field_always() -> None:
    found = status_document({**RUNNING, "status": "stopped"}, rootfs="/r", created="", owner="")
    assert (found["pid"], found["owner"]) == (0, "")


def test_the_document_for_an_agent() -> None:
    found = seccomp_document(pid=43, metadata="m", state=RUNNING)
    assert list(found.items()) == [
        ("ociVersion", "1.3.0"),
        ("fds", ["seccompFd"]),
        ("pid", 43),
        ("metadata", "m"),
        ("state", RUNNING),
    ]


def test_the_version_is_that_of_the_configuration() -> None:
    assert state.SPEC_VERSION == config.SPEC_VERSION


def test_telling_a_state_loads_little() -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import nestbox.oci.state, nestbox.oci.names\n"
        "print(*sorted(sys.modules))"
    )
    # Without site, which may load modules of its own accord.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"msgspec", "typing", "enum", "re"} & {*done.stdout.split()}
