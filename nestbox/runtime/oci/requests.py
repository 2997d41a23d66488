"""What a caller asks of the OCI runtime: values that a command line or a program fills in.

Only what each call decides is here. Where state is kept, which cgroup driver is used and where
messages go holds for all calls: ``Options`` and ``Log``.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec


class Log(Protocol):
    """Where messages go that are no result: the engine's log. Each is one line."""

    def warning(self, message: str) -> None:
        """Tell of something that is less than what was asked for."""

    def info(self, message: str) -> None:
        """Tell what is good to know."""

    def debug(self, message: str) -> None:
        """Tell what only who looks for a defect needs; shown with --debug alone."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every command of one caller.

    ``root`` is the absolute directory of the containers' states, ``criu`` the program that
    checkpoints. ``rootless`` is whether errors about cgroups are ignored; None: decide by the user.
    """

    root: str
    cgroup_manager: Literal["cgroupfs", "systemd", "disabled"] = "cgroupfs"
    rootless: bool | None = None
    debug: bool = False
    criu: str = "criu"


class CreateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One container to make from a bundle (runtime-spec, config.md).

    ``bundle`` is an absolute directory; ``config`` another file than its config.json.
    ``console_socket`` and ``pidfd_socket`` are AF_UNIX sockets that receive the other end of the
    terminal and a descriptor of the first process; ``preserve_fds`` is how many descriptors behind
    standard error (and LISTEN_FDS) the program keeps.
    """

    id: str
    bundle: str
    config: str | None = None
    console_socket: str | None = None
    pidfd_socket: str | None = None
    pid_file: str | None = None
    no_pivot: bool = False
    no_new_keyring: bool = False
    preserve_fds: int = 0


class RunMode(msgspec.Struct, frozen=True, kw_only=True):
    """What `run` does beside create and start: wait for the end and delete, unless told not to."""

    detach: bool = False
    keep: bool = False
    no_subreaper: bool = False


class ExecRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One more process in a running container.

    ``process`` is the file of a whole process object (config.md, "Process"); the fields below
    ``args`` change it, or else the container's own. ``user`` is "uid" or "uid:gid" in digits;
    ``cgroup`` the sub-cgroups, each "path" or "controller[,controller]:path". None means that an
    option was not given.
    """

    id: str
    args: tuple[str, ...] = ()
    process: str | None = None
    cwd: str | None = None
    env: tuple[str, ...] = ()
    tty: bool | None = None
    user: str | None = None
    additional_gids: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool | None = None
    apparmor: str | None = None
    process_label: str | None = None
    cgroup: tuple[str, ...] = ()
    console_socket: str | None = None
    pidfd_socket: str | None = None
    pid_file: str | None = None
    detach: bool = False
    preserve_fds: int = 0
    ignore_paused: bool = False


CgroupsMode = Literal["", "soft", "full", "strict", "ignore"]


class CriuOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What checkpoint and restore have in common; the meaning of each is CRIU's (criu(8))."""

    image_path: str
    work_path: str | None = None
    parent_path: str | None = None
    tcp_established: bool = False
    tcp_skip_in_flight: bool = False
    link_remap: bool = False
    ext_unix_sk: bool = False
    shell_job: bool = False
    file_locks: bool = False
    lazy_pages: bool = False
    auto_dedup: bool = False
    manage_cgroups_mode: CgroupsMode = ""
    empty_ns: tuple[str, ...] = ()


class CheckpointRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A running container to be written to image files.

    ``status_fd`` is a descriptor that CRIU writes to when lazy pages are ready, -1 none;
    ``page_server`` the address and port that pages are sent to.
    """

    id: str
    criu: CriuOptions
    leave_running: bool = False
    pre_dump: bool = False
    status_fd: int = -1
    page_server: tuple[str, int] | None = None


class RestoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A container to be made from image files; `create` and `mode` as for run.

    ``lsm_profile`` is "TYPE:NAME".
    """

    create: CreateRequest
    mode: RunMode
    criu: CriuOptions
    lsm_profile: str | None = None
    lsm_mount_context: str | None = None
