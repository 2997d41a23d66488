"""nestbox from Python: `nestbox.run`. The library is the core, the command line a layer over it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from nestbox.policy.request import (
    DeviceRequest,
    LimitRequest,
    MountRequest,
    RootKind,
    RootMode,
    RootRequest,
    RunRequest,
    SecurityOptions,
)
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
    mounts: Sequence[MountRequest] = (),
    env: Mapping[str, str] | None = None,
    workdir: str | None = None,
    user: str | None = None,
    hostname: str | None = None,
    network: str | None = None,
    userns: str | None = None,
    read_only: bool = False,
    memory_bytes: int | None = None,
    cpus: float | None = None,
    pids_limit: int | None = None,
    limits: Sequence[LimitRequest] = (),
    sysctls: Mapping[str, str] | None = None,
    devices: Sequence[DeviceRequest] = (),
    security: SecurityOptions | None = None,
    init: bool = False,
    name: str | None = None,
    input: bytes | None = None,
    timeout: float | None = None,
    context: Context | None = None,
) -> Done:
    """Run one container to its end and return what it wrote.

    ``rootfs`` is ``host``, a directory, ``DIRECTORY:ro`` or ``DIRECTORY:overlay``; the other
    arguments are those of `nestbox run`. With ``rootfs="host"`` and no ``workdir`` the container
    works in the caller's directory. ``timeout`` is in seconds. ``context`` stands in for this
    process's own directory, environment and state directory.

    Raises:
        Refused: something that was asked for by name is not to be had; nothing was created.
        NestboxError: the request is not valid, or the launch failed; nothing is left behind.
    """
    context = context or context_of_process()
    root = root_request(rootfs, context.directory)
    if workdir is None and root.kind is RootKind.HOST:
        workdir = context.directory
    request = RunRequest(
        argv=tuple(argv),
        root=root,
        profile=profile,
        privileged=privileged,
        cap_add=tuple(cap_add),
        cap_drop=tuple(cap_drop),
        ambient=ambient,
        mounts=tuple(mounts),
        environment=tuple(f"{key}={value}" for key, value in (env or {}).items()),
        working_directory=workdir,
        user=user,
        hostname=hostname,
        network=network,
        user_namespace=userns,
        read_only=read_only,
        memory_bytes=memory_bytes,
        cpus=cpus,
        pids_limit=pids_limit,
        limits=tuple(limits),
        sysctls=tuple((sysctls or {}).items()),
        devices=tuple(devices),
        security=security or SecurityOptions(),
        init=init,
        name=name,
    )
    finished = run_request(
        request, context, RunOptions(capture=True, input=input, timeout_seconds=timeout)
    )
    return Done(
        exit_code=finished.exit_code,
        stdout=finished.stdout,
        stderr=finished.stderr,
        record=finished.record,
    )


def root_request(text: str, directory: str) -> RootRequest:
    """Return the root that ``host|DIR[:ro|:overlay]`` names, relative to a directory."""
    if text == "host":
        return RootRequest(kind=RootKind.HOST, directory="/", mode=RootMode.OVERLAY)
    path, colon, mode = text.rpartition(":")
    if not colon or mode not in {RootMode.READ_ONLY, RootMode.OVERLAY}:
        path, mode = text, RootMode.DIRECT
    return RootRequest(
        kind=RootKind.DIRECTORY, directory=os.path.join(directory, path), mode=RootMode(mode)
    )
