"""Who the environment's processes are: user namespace, ids, capability sets."""

from __future__ import annotations

import os
from pathlib import Path

from nestbox.kernel import constants as k
from nestbox.kernel.capabilities import TABLE, numbers_in
from nestbox.kernel.syscalls import capset, prctl, unshare
from tests.root.nesting.description import SOMEBODY, Environment, Ids

_EVERY_ID = "0 0 4294967295"
_SETPCAP = next(row.number for row in TABLE if row.name == "CAP_SETPCAP")


def make_user_namespace(described: Environment) -> None:
    """Enter a new user namespace if the environment has one; we are root in it."""
    if described.ids is Ids.ONE_ID:
        _become(SOMEBODY)
        unshare(k.CLONE_NEWUSER)
        # Else /proc/self belongs to root, since who changes its ids is not dumpable.
        prctl(k.PR_SET_DUMPABLE, 1)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {SOMEBODY} 1")
        Path("/proc/self/gid_map").write_text(f"0 {SOMEBODY} 1")
    elif described.ids is Ids.EVERY_ID or not described.user_namespaces:
        _map_every_id()
    if not described.user_namespaces:
        # The limit is one of the present user namespace: nobody outside feels it.
        Path("/proc/sys/user/max_user_namespaces").write_text("0")


def _map_every_id() -> None:
    """Enter a user namespace whose maps our parent writes, since only that has the right."""
    ready, asking = os.pipe()
    done, answering = os.pipe()
    # The helper stays outside of the new namespace, and sees us in its own /proc.
    helper = os.fork()
    if helper == 0:
        os.read(ready, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{os.getppid()}/{name}").write_text(_EVERY_ID)
        os.write(answering, b".")
        os._exit(0)
    unshare(k.CLONE_NEWUSER)
    os.write(asking, b".")
    os.close(answering)
    answer = os.read(done, 1)
    os.waitpid(helper, 0)
    for fd in (ready, asking, done):
        os.close(fd)
    if not answer:
        raise RuntimeError("the maps of the user namespace could not be written")


def give_up_rights(described: Environment) -> None:
    """Cut the bounding set, become the environment's user and set no_new_privs."""
    absent = [row for row in TABLE if row.name.removeprefix("CAP_") not in described.capabilities]
    # CAP_SETPCAP goes last, since it is what the others need.
    for row in sorted(absent, key=lambda row: row.number == _SETPCAP):
        if prctl(k.PR_CAPBSET_READ, row.number):
            prctl(k.PR_CAPBSET_DROP, row.number)
    if described.uid:
        prctl(k.PR_SET_KEEPCAPS, 1)
        _become(described.uid)
        _keep(described.ambient)
    if described.no_new_privs:
        prctl(k.PR_SET_NO_NEW_PRIVS, 1)


def _keep(names: frozenset[str]) -> None:
    """Give up every capability but these, which the next program gets too."""
    mask = sum(1 << row.number for row in TABLE if row.name.removeprefix("CAP_") in names)
    capset(effective=mask, permitted=mask, inheritable=mask)
    for number in numbers_in(mask):
        prctl(k.PR_CAP_AMBIENT, k.PR_CAP_AMBIENT_RAISE, number)


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
