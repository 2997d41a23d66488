"""checkpoint: a running container is written to image files by CRIU."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

from nestbox.errors import LaunchError, StateError, UsageError, reason
from nestbox.kernel.procfs import parse_mountinfo
from nestbox.kernel.reading import read_proc
from nestbox.oci.read import parse_config
from nestbox.runtime.oci.container import PAUSED, RUNNING, Container, Held
from nestbox.runtime.oci.criu import Notified, Service, require_feature, version
from nestbox.runtime.oci.criu_images import image_directories, write_descriptors
from nestbox.runtime.oci.criu_log import with_log
from nestbox.runtime.oci.criu_messages import DUMP, PRE_DUMP
from nestbox.runtime.oci.criu_mounts import dump_pairs
from nestbox.runtime.oci.criu_options import (
    dump_options,
    external_namespace,
    handed_namespaces,
    mount_members,
)
from nestbox.runtime.oci.destroy import destroy, location_of
from nestbox.runtime.oci.store import Store

if TYPE_CHECKING:
    from nestbox.oci.config import Config
    from nestbox.runtime.oci.requests import CheckpointRequest, Log, Options

_LOG: Final = "dump.log"
_V2_FREEZER: Final = 31400  # the first CRIU that knows the freezer of cgroup v2


def checkpoint(request: CheckpointRequest, options: Options, log: Log) -> None:
    """Write a container to image files, and delete it unless it is to go on.

    Raises:
        StateError: it does not exist, or does not run.
        NestboxError: CRIU is missing or refused; the container runs on.
    """
    store = Store(options.root)
    held = store.hold(request.id)
    try:
        container = store.load(request.id)
        _check_status(container)
        _Checkpoint(request, options, container, log).run()
        if not request.leave_running and not request.pre_dump:
            _remove(container, held, log)
    finally:
        held.let_go()


def _check_status(container: Container) -> None:
    status = container.status()
    if status not in {RUNNING, PAUSED}:
        raise StateError(
            f"Container cannot be checkpointed in {status} state",
            cause=f"{container.id} does not run",
            remedy="start it first",
        )


def _stopped(container: Container) -> StateError:
    return StateError(
        "Container cannot be checkpointed in stopped state",
        cause=f"{container.id} has ended meanwhile",
        remedy="create and start it again",
    )


def _remove(container: Container, held: Held, log: Log) -> None:
    """Delete the container, whose processes CRIU has ended."""
    try:
        destroy(container, held, log)
    except LaunchError as error:
        log.warning(f"the container is saved, and something of it is left: {error}")


class _Checkpoint:
    """One checkpoint; each method is one stage."""

    def __init__(
        self, request: CheckpointRequest, options: Options, container: Container, log: Log
    ) -> None:
        self.request = request
        self.criu = options.criu
        self.container = container
        self.log = log
        self.config: Config = parse_config(
            container.configuration(), source=container.path("config.json")
        )
        process = container.process()
        if process is None:
            raise _stopped(container)
        self.pid = process.pid

    def run(self) -> None:
        """Let CRIU write the images. Raises NestboxError."""
        found = version(self.criu)
        if self.request.pre_dump:
            require_feature(self.criu, "mem_track")
        if self.request.criu.lazy_pages:
            require_feature(self.criu, "lazy_pages")
            _check_writable(self.request.status_fd)
        with image_directories(self.request.criu) as directories:
            options = self._options(found) | directories.members
            if not self.request.pre_dump:
                options["ext_mnt"] = mount_members(self._mounts())
                write_descriptors(directories.images, self.pid)
            try:
                self._ask(options)
            except LaunchError as error:
                raise with_log(error, os.path.join(directories.log, _LOG), self.log) from error

    def _options(self, found: int) -> dict[str, Any]:
        state = self.container.state
        options = dump_options(
            self.request,
            self.config,
            pid=self.pid,
            root=state.rootfs,
            freezer=self._freezer(found),
        )
        options["external"] = tuple(
            external_namespace(key, _inode(path))
            for key, path in handed_namespaces(self.config).items()
        )
        return options

    def _freezer(self, found: int) -> str | None:
        """Return the cgroup that CRIU freezes, so that no new process escapes it."""
        location = location_of(self.container)
        if location.version == 2:
            return location.directories.get("") if found >= _V2_FREEZER else None
        return location.directories.get("freezer")

    def _mounts(self) -> tuple[tuple[str, str], ...]:
        try:
            lines = parse_mountinfo(read_proc(f"/proc/{self.pid}/mountinfo"))
        except OSError as error:
            raise _stopped(self.container) from error
        return dump_pairs(self.config, lines, f"/proc/{self.pid}/root")

    def _ask(self, options: dict[str, Any]) -> None:
        kind = PRE_DUMP if self.request.pre_dump else DUMP
        service = Service(self.criu)
        try:
            service.ask({"type": kind, "opts": options}, self._notified())
            service.finish(kind)
        finally:
            service.stop()

    def _notified(self) -> Notified:
        status = self.request.status_fd

        def notified(script: str, pid: int, fd: int) -> None:
            if fd >= 0:
                os.close(fd)
            if script == "status-ready" and status >= 0:
                _tell_ready(status, self.log)

        return notified


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError as error:
        raise LaunchError(
            f"cannot find the namespace {path!r} of the container",
            cause=reason(error),
            remedy="keep the namespace until the container is saved",
        ) from error


def _check_writable(fd: int) -> None:
    """Refuse a --status-fd that cannot be written to. Raises UsageError."""
    import fcntl

    if fd < 0:
        return
    try:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "not writable")
    except OSError as error:
        raise UsageError(
            f"invalid --status-fd argument {fd}",
            cause=reason(error),
            remedy="hand over a descriptor that is open for writing",
        ) from error


def _tell_ready(fd: int, log: Log) -> None:
    """Write the one NUL for which the caller waits, and close: the page server listens."""
    try:
        os.write(fd, b"\0")
        os.close(fd)
    except OSError as error:
        log.warning(f"can't write \\0 to status fd: {reason(error)}")
