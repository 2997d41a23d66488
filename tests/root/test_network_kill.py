"""kill -9 of nestbox while it connects a network: the next run leaves nothing of it."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from nestbox.kernel import constants, syscalls
from nestbox.policy.request import RootKind, RootMode, RootRequest, RunRequest
from nestbox.runtime.network import nft, veth
from nestbox.runtime.network.connection import Connection
from nestbox.runtime.prepare import prepare
from nestbox.runtime.run import RunOptions, _Clock, _Run
from tests.root import networks
from tests.root.test_kill import die, killed

PLACES = {
    "bridge, a link": (veth, "connect"),
    "bridge, a table": (nft, "add_table"),
    "bridge, taking it away": (nft, "remove_table"),
    "slirp4netns, a program": (Connection, "enter"),
    "slirp4netns, ready": (Connection, "finish"),
    "pasta, a program": (Connection, "enter"),
    "pasta, ready": (Connection, "finish"),
}


@pytest.fixture
def outer():
    """Yield an outer network."""
    with ExitStack() as ends:
        yield networks.make(ends)


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_leaves_nothing_that_the_next_run_does_not_remove(
    nestbox, outer, image, context, surroundings, orphans, monkeypatch, place
):
    root = RootRequest(kind=RootKind.DIRECTORY, directory=str(image), mode=RootMode.DIRECT)
    network = place.partition(",")[0]
    request = RunRequest(
        argv=("true",),
        root=root,
        name=f"{nestbox.prefix}-killed",
        network=network,
        user_namespace="auto" if network == "pasta" else None,
    )
    sweeping = ("--network", "none", "--rootfs", str(image), "--", "true")
    assert nestbox.run(*sweeping, before=outer.inside).exit_code == 0
    before = surroundings()

    def make():
        entered = os.open(f"/proc/{outer.outer}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(entered, constants.CLONE_NEWNET)
        owner, name = PLACES[place]
        original = getattr(owner, name)

        def and_die(*arguments, **options):
            original(*arguments, **options)
            die()

        monkeypatch.setattr(owner, name, and_die)
        return _Run(prepare(request, context), context, RunOptions(capture=True), _Clock())

    killed(make)
    orphans()
    assert surroundings() != before
    assert nestbox.run(*sweeping, before=outer.inside).exit_code == 0
    orphans()  # a list of children that is read while one of them ends can miss another
    assert surroundings() == before
    assert outer.tables() == []
    assert outer.links() == []
