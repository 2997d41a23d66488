"""From flags, as a command line or a caller writes them, to a RunRequest. Syntax alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from nestbox.flags.rootfs import parse_rootfs
from nestbox.policy.request import RootKind, RunRequest, SecurityOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nestbox.policy.request import DeviceRequest, LimitRequest, MountRequest, PortRequest
    from nestbox.runtime.context import Context


class LaunchFlags(TypedDict):
    """What is asked for, as it was written."""

    command: tuple[str, ...]
    profile: str | None
    privileged: bool
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    ambient: bool
    rootfs: str
    volume: tuple[str, ...]
    mount: tuple[str, ...]
    tmpfs: tuple[str, ...]
    read_only: bool
    env: tuple[str, ...]
    env_file: tuple[str, ...]
    workdir: str | None
    user: str | None
    hostname: str | None
    network: str | None
    publish: tuple[str, ...]
    pid: str | None
    userns: str | None
    uidmap: tuple[str, ...]
    gidmap: tuple[str, ...]
    memory: str | None
    cpus: str | None
    pids_limit: str | None
    shm_size: str | None
    ulimit: tuple[str, ...]
    oom_score_adj: str | None
    sysctl: tuple[str, ...]
    device: tuple[str, ...]
    security_opt: tuple[str, ...]
    init: bool
    interactive: bool
    tty: bool
    rm: bool
    name: str | None


NOTHING: Final[LaunchFlags] = {
    "command": (),
    "profile": None,
    "privileged": False,
    "cap_add": (),
    "cap_drop": (),
    "ambient": False,
    "rootfs": "host",
    "volume": (),
    "mount": (),
    "tmpfs": (),
    "read_only": False,
    "env": (),
    "env_file": (),
    "workdir": None,
    "user": None,
    "hostname": None,
    "network": None,
    "publish": (),
    "pid": None,
    "userns": None,
    "uidmap": (),
    "gidmap": (),
    "memory": None,
    "cpus": None,
    "pids_limit": None,
    "shm_size": None,
    "ulimit": (),
    "oom_score_adj": None,
    "sysctl": (),
    "device": (),
    "security_opt": (),
    "init": False,
    "interactive": False,
    "tty": False,
    "rm": False,
    "name": None,
}


def request_of(flags: LaunchFlags, context: Context) -> RunRequest:
    """Return what the options ask for; relative paths begin at the caller's directory.

    What reads an option's value is loaded when there is one.

    Raises:
        UsageError: a value has not the form that its option takes.
    """
    root = parse_rootfs(flags["rootfs"], context.directory)
    # A job over the present root goes on where its caller is, as in a sub-shell.
    here = context.directory if root.kind is RootKind.HOST else None
    return RunRequest(
        argv=flags["command"],
        root=root,
        profile=flags["profile"],
        privileged=flags["privileged"],
        cap_add=_names(flags["cap_add"]),
        cap_drop=_names(flags["cap_drop"]),
        ambient=flags["ambient"],
        mounts=_mounts(flags, context.directory),
        environment=_environment(flags, context),
        working_directory=here if flags["workdir"] is None else flags["workdir"],
        user=flags["user"],
        hostname=flags["hostname"],
        network=flags["network"],
        ports=_ports(flags["publish"]),
        pid=flags["pid"],
        user_namespace=flags["userns"],
        uid_maps=flags["uidmap"],
        gid_maps=flags["gidmap"],
        read_only=flags["read_only"],
        memory_bytes=_size(flags["memory"], "--memory"),
        cpus=_cpus(flags["cpus"]),
        pids_limit=_count(flags["pids_limit"], "--pids-limit"),
        shm_bytes=_size(flags["shm_size"], "--shm-size"),
        limits=_limits(flags["ulimit"]),
        oom_score_adj=_score(flags["oom_score_adj"]),
        sysctls=_sysctls(flags["sysctl"]),
        devices=_devices(flags["device"]),
        security=_security(flags["security_opt"], context.directory),
        init=flags["init"],
        interactive=flags["interactive"],
        terminal=flags["tty"],
        name=flags["name"],
    )


def _names(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.strip() for text in texts for name in text.split(","))


def _mounts(flags: LaunchFlags, directory: str) -> tuple[MountRequest, ...]:
    if not (flags["volume"] or flags["mount"] or flags["tmpfs"]):
        return ()
    from nestbox.flags.volumes import parse_mount, parse_tmpfs, parse_volume

    return (
        *(parse_volume(text, directory) for text in flags["volume"]),
        *(parse_mount(text, directory) for text in flags["mount"]),
        *(parse_tmpfs(text) for text in flags["tmpfs"]),
    )


def _environment(flags: LaunchFlags, context: Context) -> tuple[str, ...]:
    if not (flags["env"] or flags["env_file"]):
        return ()
    from nestbox.flags.variables import variables

    return variables(flags["env"], flags["env_file"], context.environment, context.directory)


def _size(text: str | None, flag: str) -> int | None:
    if text is None:
        return None
    from nestbox.flags.sizes import parse_size

    return parse_size(text, flag)


def _cpus(text: str | None) -> float | None:
    if text is None:
        return None
    from nestbox.flags.sizes import parse_cpus

    return parse_cpus(text, "--cpus")


def _count(text: str | None, flag: str) -> int | None:
    if text is None:
        return None
    from nestbox.flags.sizes import parse_count

    return parse_count(text, flag)


def _limits(texts: tuple[str, ...]) -> tuple[LimitRequest, ...]:
    if not texts:
        return ()
    from nestbox.flags.limits import parse_ulimit

    return tuple(parse_ulimit(text) for text in texts)


def _score(text: str | None) -> int | None:
    if text is None:
        return None
    from nestbox.flags.limits import parse_score

    return parse_score(text)


def _sysctls(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not texts:
        return ()
    from nestbox.flags.limits import parse_sysctl

    return tuple(parse_sysctl(text) for text in texts)


def _ports(texts: tuple[str, ...]) -> tuple[PortRequest, ...]:
    if not texts:
        return ()
    from nestbox.flags.network import parse_port

    return tuple(port for text in texts for port in parse_port(text))


def _devices(texts: tuple[str, ...]) -> tuple[DeviceRequest, ...]:
    if not texts:
        return ()
    from nestbox.flags.devices import parse_device

    return tuple(parse_device(text) for text in texts)


def _security(texts: tuple[str, ...], directory: str) -> SecurityOptions:
    if not texts:
        return SecurityOptions()
    from nestbox.flags.security import parse_security_options

    return parse_security_options(texts, directory)
