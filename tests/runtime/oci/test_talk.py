"""The messages of the executor, as they are read without its ABI module, are those of plan.h."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from nestbox.executor._abi import ffi
from nestbox.runtime.oci import talk
from nestbox.runtime.oci.talk import Talk

abi = ffi.dlopen(None)


@pytest.fixture
def pair() -> Iterator[tuple[Talk, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one = Talk(ours.detach())
    yield one, theirs
    one.close()
    theirs.close()


def report(**members: object) -> bytes:
    return bytes(ffi.buffer(ffi.new("struct nb_report *", members)))


@pytest.mark.parametrize(
    "name", ["FAILED", "SYNC", "CONSOLE", "SETS", "CREATED", "FORKED", "LISTENER"]
)
def test_kinds_are_those_of_the_header(name: str) -> None:
    assert getattr(talk, name) == getattr(abi, f"NB_REPORT_{name}")


def test_every_member_is_read(pair: tuple[Talk, socket.socket]) -> None:
    ours, theirs = pair
    theirs.send(
        report(kind=abi.NB_REPORT_FAILED, step=7, err=13, value=[1, 2, 3, 4, 5, 6], message=b"no")
    )
    found = ours.receive()
    assert found is not None
    assert (found.kind, found.step, found.errno) == (talk.FAILED, 7, 13)
    assert (found.value, found.message, found.fd) == ((1, 2, 3, 4, 5, 6), "no", -1)


def test_the_end_is_told(pair: tuple[Talk, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    assert ours.receive() is None


@pytest.mark.parametrize("change", [-1, 1])
def test_a_message_of_another_size_is_refused(
    pair: tuple[Talk, socket.socket], change: int
) -> None:
    ours, theirs = pair
    theirs.send((report(kind=1) + b"x")[: len(report()) + change])
    with pytest.raises(OSError, match="no report"):
        ours.receive()


def test_of_several_descriptors_one_is_kept_and_no_other_leaks(
    pair: tuple[Talk, socket.socket],
) -> None:
    ours, theirs = pair
    before = set(os.listdir("/proc/self/fd"))
    socket.send_fds(theirs, [report(kind=abi.NB_REPORT_CONSOLE)], [0, 1, 2])
    found = ours.receive()
    assert found is not None
    assert os.get_inheritable(found.fd) is False
    os.close(found.fd)
    assert set(os.listdir("/proc/self/fd")) == before


def test_an_answer_carries_payload_and_descriptor(pair: tuple[Talk, socket.socket]) -> None:
    ours, theirs = pair
    ours.go(b"{}", 0)
    data, descriptors, _, _ = socket.recv_fds(theirs, 100, 1)
    assert data == b"g{}"
    assert len(descriptors) == 1
    os.close(descriptors[0])
