"""Make an environment and run a command in it: `python -m …nesting.enclosure FILE COMMAND`.

FILE is the description. Three processes are in a row: this one, which makes and removes cgroups;
one that makes the namespaces; and PID 1 of the environment, which becomes the command. When any of
them ends, so do those below it; all mounts end with their namespace.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import msgspec

from nestbox.kernel import constants as k
from nestbox.kernel.syscalls import prctl, unshare
from tests.root.nesting import cgroups, filters, identity, tree
from tests.root.nesting.description import Environment

_NAMESPACES = k.CLONE_NEWNS | k.CLONE_NEWPID | k.CLONE_NEWIPC | k.CLONE_NEWUTS | k.CLONE_NEWNET


def main() -> int:
    """Make the environment of the first argument and run the others in it."""
    described = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Environment)
    scratch = Path(sys.argv[1]).parent
    place = cgroups.Place(f"nesting-{os.getpid()}")
    status = 1
    try:
        place.make(described)
        child = _fork()
        if child == 0:
            _guarded(_between, described, scratch, place)
        status = _wait(child)
    finally:
        place.remove()
    return status


def _between(described: Environment, scratch: Path, place: cgroups.Place) -> int:
    """Enter namespaces, and wait for PID 1."""
    filter_ = filters.program_of(described)
    unshare(_NAMESPACES)
    child = _fork()
    if child == 0:
        _guarded(_first, described, scratch, place, filter_)
    return _wait(child)


def _first(
    described: Environment, scratch: Path, place: cgroups.Place, filter_: bytes | None
) -> int:
    """Be PID 1 of the environment: everything in it is made here, rights are given up last."""
    # Alone: on version 2, nobody whom the environment does not see may be in its cgroup.
    place.enter()
    unshare(k.CLONE_NEWCGROUP)
    tree.make(described, scratch, place)
    identity.make_user_namespace(described)
    for name, value in described.rlimits:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    if filter_ is not None:
        filters.install(filter_)
    identity.give_up_rights(described)
    prctl(k.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(sys.argv[2], sys.argv[2:])


def _fork() -> int:
    """Return 0 in a child that dies with its parent, else the child's pid."""
    child = os.fork()
    if child == 0:
        prctl(k.PR_SET_PDEATHSIG, signal.SIGKILL)
    return child


def _guarded(work, *arguments) -> None:
    """Do the work of a child and end; an error is told, not raised into what it was forked from."""
    status = 1
    try:
        status = work(*arguments)
    except BaseException:  # noqa: BLE001 - a forked child must not return
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
