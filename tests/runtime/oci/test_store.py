"""The containers of one root: what a name must be, who wins, and what a status is read from."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from nestbox.errors import NestboxError, StateError
from nestbox.runtime.oci.container import (
    CREATED,
    CREATING,
    RUNNING,
    SOCKET,
    SOCKET_NEW,
    STATE,
    STOPPED,
)
from nestbox.runtime.oci.state import State
from nestbox.runtime.oci.store import NoContainer, Store
from nestbox.runtime.processes import Process, boot_id, pid_namespace, start_time


def state(**changes: Any) -> State:
    members: dict[str, Any] = {
        "id": "one",
        "oci_version": "1.3.0",
        "bundle": "/bundle",
        "rootfs": "/bundle/rootfs",
        "created": "2026-01-01T00:00:00.000000000Z",
        "owner": "root",
        "owner_uid": 0,
        "hooked": False,
        "has_poststop": False,
        "has_process": True,
        "annotations": {"a": "b"},
        "boot_id": boot_id(),
        "pid_namespace": pid_namespace(),
        "terminal": False,
        "cgroup": {"version": 1, "directories": {}},
        "namespaces": ["pid"],
        "resctrl": "",
        "root_mount": 0,
    }
    return State(**members | changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "root"))


def me() -> Process:
    start = start_time(os.getpid())
    assert start is not None
    return Process(pid=os.getpid(), start=start)


def test_what_is_kept_is_read_back(store: Store) -> None:
    store.claim(state(), b"{}").let_go()
    found = store.load("one")
    assert found.state.annotations == {"a": "b"}
    assert found.configuration() == b"{}"
    assert store.names() == ["one"]


def test_of_two_creations_of_a_name_one_wins(store: Store) -> None:
    held = store.claim(state(), b"{}")
    with pytest.raises(StateError, match="container with given ID already exists"):
        store.claim(state(), b"{}")
    assert os.listdir(store.root) == ["one"]
    held.remove()
    store.claim(state(), b"{}").remove()
    assert os.listdir(store.root) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", "a\0", "@x", "x" * 1025])
def test_a_name_is_one_of_a_file(store: Store, name: str) -> None:
    with pytest.raises(NestboxError, match="invalid container ID format"):
        store.load(name)


def test_an_unknown_name_does_not_exist(store: Store) -> None:
    for call in (store.load, store.hold):
        with pytest.raises(NoContainer, match="does not exist"):
            call("two")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"\xff", b'"x"'])
def test_a_damaged_state_is_told(store: Store, damage: bytes) -> None:
    held = store.claim(state(), b"{}")
    Path(held.path(STATE)).write_bytes(damage)
    with pytest.raises(StateError, match="it is damaged"):
        store.load("one")


def test_a_state_that_is_a_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    held = store.claim(state(), b"{}")
    (tmp_path / "other").write_bytes(state().to_json())
    os.unlink(held.path(STATE))
    os.symlink(tmp_path / "other", held.path(STATE))
    with pytest.raises(StateError):
        store.load("one")


def test_the_state_of_another_container_is_refused(store: Store) -> None:
    held = store.claim(state(), b"{}")
    Path(held.path(STATE)).write_bytes(state(id="two").to_json())
    with pytest.raises(StateError, match="the state of 'two'"):
        store.load("one")


def bind(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)


def test_the_status_follows_the_process_and_its_socket(store: Store) -> None:
    held = store.claim(state(), b"{}")
    found = store.load("one")
    assert found.status() == STOPPED
    bind(held.path(SOCKET_NEW))
    assert found.status() == CREATING  # somebody holds it
    held.write_process(me())
    assert found.status() == CREATING
    os.rename(held.path(SOCKET_NEW), held.path(SOCKET))
    assert found.status() == CREATED
    os.unlink(held.path(SOCKET))
    assert found.status() == RUNNING
    held.write_process(Process(pid=os.getpid(), start=1))
    assert found.status() == STOPPED


def test_a_creation_that_was_killed_has_stopped(store: Store) -> None:
    held = store.claim(state(), b"{}")
    bind(held.path(SOCKET_NEW))
    held.let_go()
    assert store.load("one").status() == STOPPED


@pytest.mark.parametrize("change", [{"boot_id": "another"}, {"pid_namespace": 1}])
def test_a_pid_of_another_boot_or_namespace_is_nobody(store: Store, change: dict[str, Any]) -> None:
    held = store.claim(state(**change), b"{}")
    held.write_process(me())
    assert store.load("one").status() == STOPPED


def test_a_lock_is_held_by_one(store: Store) -> None:
    held = store.claim(state(), b"{}")
    with pytest.raises(StateError, match="another command is changing it"):
        store.hold("one", wait=False)
    held.let_go()
    store.hold("one", wait=False).let_go()
