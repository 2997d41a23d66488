"""What a request may not say, whatever the environment: each check raises a UsageError. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError
from nestbox.policy.network import NAMES
from nestbox.policy.paths import clean
from nestbox.policy.request import THROWN_AWAY, RootKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.policy.request import LimitRequest, RunRequest

_NAME: Final = r"[A-Za-z0-9_+.\-]+"
_MAX_NAME: Final = 255  # NAME_MAX, since a name becomes a directory
_HOSTNAME: Final = r"[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?"
_MAX_HOSTNAME: Final = 64  # __NEW_UTS_LEN
_MIN_MEMORY: Final = 6 << 20  # bytes; what dockerd refuses to go below
_MAX_LIMIT: Final = (1 << 63) - 1  # bytes; what a cgroup file takes
_MOUNT_TYPES: Final = ("bind", "tmpfs", "volume")


def check_request(request: RunRequest) -> None:
    """Refuse a request that is malformed or contradicts itself.

    Raises:
        UsageError: the first thing that is wrong with it.
    """
    for check in _CHECKS:
        check(request)


def check_name(name: str) -> None:
    """Refuse a container name that could not safely be the name of a directory.

    Raises:
        UsageError: it is empty, too long, ``.``, ``..``, or has other characters than
            ``A-Z a-z 0-9 _ + . -``.
    """
    if not re.fullmatch(_NAME, name) or name in {".", ".."} or len(name) > _MAX_NAME:
        raise UsageError(
            f"--name {_shown(name)}",
            cause=f"a name is 1 to {_MAX_NAME} of the characters A-Z a-z 0-9 _ + . -, not . or ..",
            remedy="choose another name",
        )


def _check_command(request: RunRequest) -> None:
    if not request.argv or not request.argv[0]:
        raise UsageError(
            "the container's command",
            cause="it is empty",
            remedy="put the program and its arguments behind --",
        )
    for index, argument in enumerate(request.argv):
        _no_nul(argument, f"argument {index} of the command")


def _check_environment(request: RunRequest) -> None:
    for item in request.environment:
        name, separator, _ = item.partition("=")
        if not name or not separator:
            raise UsageError(
                f"-e {_shown(item)}",
                cause="it has no name" if separator else "it has no value",
                remedy="write NAME=VALUE",
            )
        _no_nul(item, f"-e {_shown(name)}")


def _check_name(request: RunRequest) -> None:
    if request.name is not None:
        check_name(request.name)


def _check_hostname(request: RunRequest) -> None:
    name = request.hostname
    if name is None or (re.fullmatch(_HOSTNAME, name) and len(name) <= _MAX_HOSTNAME):
        return
    raise UsageError(
        f"--hostname {_shown(name)}",
        cause=f"a host name is 1 to {_MAX_HOSTNAME} letters, digits, dots and hyphens",
        remedy="choose another one",
    )


def _check_network(request: RunRequest) -> None:
    network = request.network
    if network is None or network in NAMES:
        return
    remedy = f"use one of {', '.join(NAMES)}"
    if network.startswith(("container:", "ns:")):
        cause = "nestbox joins no network of others"
    else:
        from difflib import get_close_matches

        cause = "there is no such network"
        close = get_close_matches(network, NAMES, n=1)
        remedy = f"did you mean {close[0]}?" if close else remedy
    raise UsageError(f"--network {_shown(network)}", cause=cause, remedy=remedy)


def _check_pid(request: RunRequest) -> None:
    if request.pid in {None, "private", "host"}:
        return
    joins = request.pid.startswith(("container:", "ns:"))
    raise UsageError(
        f"--pid {_shown(request.pid)}",
        cause="nestbox joins no pid namespace of others" if joins else "there is no such kind",
        remedy="use private, or host to share the present one",
    )


def _check_ports(request: RunRequest) -> None:
    taken: set[tuple[str, tuple[str, int]]] = set()
    for port in request.ports:
        if port.outer is None:
            continue
        # The same port of two addresses is two ports, but not of one and of all of them.
        others = {where for where, number in taken if number == (port.protocol, port.outer)}
        if port.address in others or (others and "" in {port.address, *others}):
            raise UsageError(
                port.asked_by,
                cause=f"the port {port.outer}/{port.protocol} is published twice",
                remedy="give each a port of its own",
            )
        taken.add((port.address, (port.protocol, port.outer)))


def _check_root(request: RunRequest) -> None:
    root = request.root
    _no_nul(root.directory, "--rootfs")
    if root.kind is RootKind.DIRECTORY and not root.directory.startswith("/"):
        raise UsageError(
            f"--rootfs {_shown(root.directory)}",
            cause="it is not an absolute path",
            remedy="give the whole path of the directory",
        )
    if request.read_only and root.mode in THROWN_AWAY:
        raise UsageError(
            f"--read-only with a root that is made to be written to (:{root.mode.value})",
            cause="what is written to it is thrown away, and --read-only forbids writing",
            remedy=f"use one of --read-only and :{root.mode.value}",
        )


def _check_profile(request: RunRequest) -> None:
    if request.privileged and request.profile not in {None, "privileged"}:
        raise UsageError(
            f"--privileged with --profile {_shown(request.profile or '')}",
            cause="--privileged is the profile named privileged, and a container has one profile",
            remedy="use one of the two; --profile privileged takes --cap-add and --cap-drop too",
        )


def _check_directory(request: RunRequest) -> None:
    if request.working_directory is not None:
        _no_nul(request.working_directory, "-w")
        clean(request.working_directory, what="-w")


def _check_memory(request: RunRequest) -> None:
    memory = request.memory_bytes
    if memory is not None and not _MIN_MEMORY <= memory <= _MAX_LIMIT:
        raise UsageError(
            f"--memory {memory}",
            cause=f"a limit is at least {_MIN_MEMORY} bytes (6m), since nothing starts in less",
            remedy="give more, for example --memory 64m",
        )
    shm = request.shm_bytes
    if shm is not None and not 0 < shm <= _MAX_LIMIT:
        raise UsageError(
            f"--shm-size {shm}",
            cause="a size is above 0",
            remedy="give a number of bytes, for example 64m",
        )


def _check_cpus_and_pids(request: RunRequest) -> None:
    cpus = request.cpus
    if cpus is not None and not 0 < cpus < float("inf"):
        raise UsageError(
            f"--cpus {cpus}",
            cause="a number of processors is above 0",
            remedy="give a number such as 0.5 or 2",
        )
    pids = request.pids_limit
    if pids is not None and (pids < -1 or pids == 0 or pids > _MAX_LIMIT):
        raise UsageError(
            f"--pids-limit {pids}",
            cause="a container has at least one process",
            remedy="give 1 or more, or -1 for no limit",
        )


def _check_limits(request: RunRequest) -> None:
    seen: set[str] = set()
    for limit in request.limits:
        _check_limit(limit)
        if limit.name in seen:
            raise UsageError(
                limit.asked_by, cause=f"{limit.name} is limited twice", remedy="give it once"
            )
        seen.add(limit.name)


def _check_limit(limit: LimitRequest) -> None:
    for value in (limit.soft, limit.hard):
        if value is not None and not 0 <= value <= _MAX_LIMIT:
            raise UsageError(
                limit.asked_by,
                cause=f"{value} is no limit",
                remedy="give a number from 0, or unlimited",
            )
    if limit.hard is not None and (limit.soft is None or limit.soft > limit.hard):
        raise UsageError(
            limit.asked_by,
            cause="the soft limit is above the hard limit",
            remedy="write NAME=SOFT:HARD with SOFT at most HARD",
        )


def _check_mounts(request: RunRequest) -> None:
    for mount in request.mounts:
        if mount.type not in _MOUNT_TYPES:
            raise UsageError(
                mount.asked_by,
                cause=f"there is no mount of type {_shown(mount.type)}",
                remedy=f"use {' or '.join(_MOUNT_TYPES)}",
            )
        for text in (mount.source, mount.target, *mount.options):
            _no_nul(text, mount.asked_by.replace("\0", "\\0"))


def _check_security(request: RunRequest) -> None:
    for path in (*request.security.mask, *request.security.unmask):
        _no_nul(path, "--security-opt")
    for path in request.security.mask:
        if clean(path, what="--security-opt mask") == "/":
            raise UsageError(
                f"--security-opt mask={path}",
                cause="the whole root would be hidden",
                remedy="name a path below it",
            )


def _no_nul(text: str, what: str) -> None:
    if "\0" in text:
        raise UsageError(
            what, cause="it contains a NUL character, which ends a string", remedy="remove it"
        )


def _shown(text: str) -> str:
    """Return the text on one line and not too long, for a message."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


_CHECKS: Final[tuple[Callable[[RunRequest], None], ...]] = (
    _check_command,
    _check_profile,
    _check_root,
    _check_name,
    _check_hostname,
    _check_network,
    _check_ports,
    _check_pid,
    _check_environment,
    _check_directory,
    _check_memory,
    _check_cpus_and_pids,
    _check_limits,
    _check_mounts,
    _check_security,
)
