"""nestbox from Python: `nestbox.run`. The library is the core, the command line a layer over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nestbox.flags.request import NOTHING, LaunchFlags, request_of
from nestbox.runtime.context import Context, context_of_process
from nestbox.runtime.record import Record
from nestbox.runtime.run import RunOptions
from nestbox.runtime.run import run as run_request


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A container that has ended: what it wrote, its exit code and the record of its launch."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    record: Record


def run(  # noqa: PLR0913 - one keyword for each thing that can be asked for
    argv: Sequence[str],
    *,
    rootfs: str = "host",
    profile: str | None = None,
    privileged: bool = False,
    cap_add: Sequence[str] = (),
    cap_drop: Sequence[str] = (),
    ambient: bool = False,
    volumes: Sequence[str] = (),
    mounts: Sequence[str] = (),
    tmpfs: Sequence[str] = (),
    read_only: bool = False,
    env: Mapping[str, str] | None = None,
    workdir: str | None = None,
    user: str | None = None,
    hostname: str | None = None,
    network: str | None = None,
    publish: Sequence[str] = (),
    pid: str | None = None,
    userns: str | None = None,
    uidmap: Sequence[str] = (),
    gidmap: Sequence[str] = (),
    memory: str | None = None,
    cpus: float | None = None,
    pids_limit: int | None = None,
    shm_size: str | None = None,
    ulimits: Sequence[str] = (),
    oom_score_adj: int | None = None,
    sysctls: Mapping[str, str] | None = None,
    devices: Sequence[str] = (),
    security_opt: Sequence[str] = (),
    init: bool = False,
    name: str | None = None,
    input: bytes | None = None,
    timeout: float | None = None,
    context: Context | None = None,
) -> Done:
    """Run one container to its end and return what it wrote.

    Arguments are those of `nestbox run`, and strings are written as there:
    ``volumes=["./d:/d:ro"]``, ``memory="64m"``. ``input`` is what the program reads,
    ``timeout`` is in seconds. ``context`` stands in for this process's own directory, environment
    and state directory. With ``rootfs="host"`` and no ``workdir`` the program works in the caller's
    directory.

    Raises:
        Refused: something that was asked for by name is not to be had; nothing was created.
        NestboxError: the request is not valid, or the launch failed; nothing is left behind.
    """
    context = context or context_of_process()
    flags: LaunchFlags = {
        **NOTHING,
        "command": tuple(argv),
        "rootfs": rootfs,
        "profile": profile,
        "privileged": privileged,
        "cap_add": tuple(cap_add),
        "cap_drop": tuple(cap_drop),
        "ambient": ambient,
        "volume": tuple(volumes),
        "mount": tuple(mounts),
        "tmpfs": tuple(tmpfs),
        "read_only": read_only,
        "env": tuple(f"{key}={value}" for key, value in (env or {}).items()),
        "workdir": workdir,
        "user": user,
        "hostname": hostname,
        "network": network,
        "publish": tuple(publish),
        "pid": pid,
        "userns": userns,
        "uidmap": tuple(uidmap),
        "gidmap": tuple(gidmap),
        "memory": memory,
        "cpus": None if cpus is None else str(cpus),
        "pids_limit": None if pids_limit is None else str(pids_limit),
        "shm_size": shm_size,
        "ulimit": tuple(ulimits),
        "oom_score_adj": None if oom_score_adj is None else str(oom_score_adj),
        "sysctl": tuple(f"{key}={value}" for key, value in (sysctls or {}).items()),
        "device": tuple(devices),
        "security_opt": tuple(security_opt),
        "init": init,
        "name": name,
    }
    finished = run_request(
        request_of(flags, context),
        context,
        RunOptions(capture=True, input=input, timeout_seconds=timeout),
    )
    return Done(
        exit_code=finished.exit_code,
        stdout=finished.stdout,
        stderr=finished.stderr,
        record=finished.record,
    )
