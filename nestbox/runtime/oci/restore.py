"""restore: a container is made from the image files of a checkpoint by CRIU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nestbox.errors import LaunchError, reason
from nestbox.kernel.procfs import parse_cgroup, parse_mountinfo
from nestbox.kernel.reading import read_proc
from nestbox.runtime.cgroup.setup import enter
from nestbox.runtime.oci.accept import accept, read_bundle
from nestbox.runtime.oci.attend import attend, forwarded_signals
from nestbox.runtime.oci.container import CONFIG, Container
from nestbox.runtime.oci.create import Creation, undo
from nestbox.runtime.oci.criu import Service, require_feature, version
from nestbox.runtime.oci.criu_images import image_directories, read_descriptors
from nestbox.runtime.oci.criu_log import with_log
from nestbox.runtime.oci.criu_messages import RESTORE
from nestbox.runtime.oci.criu_mounts import restore_pairs
from nestbox.runtime.oci.criu_options import (
    cgroup_roots,
    handed_namespaces,
    inherited_pipes,
    mount_members,
    restore_options,
)
from nestbox.runtime.oci.destroy import destroy
from nestbox.runtime.oci.hook_points import before_start
from nestbox.runtime.oci.new_state import launch_options_of, new_state
from nestbox.runtime.oci.outlets import open_outlets
from nestbox.runtime.oci.restore_root import mount_root, private_mounts, remove_root
from nestbox.runtime.oci.store import NoContainer, Store, check_id
from nestbox.runtime.processes import Process, start_time

if TYPE_CHECKING:
    from nestbox.runtime.cgroup.setup import CgroupState
    from nestbox.runtime.oci.requests import Log, Options, RestoreRequest

_LOG: Final = "restore.log"
_LSM_VERSION: Final = 31600  # the first CRIU that restores with another security profile
_PR_SET_CHILD_SUBREAPER: Final = 36  # prctl(2)


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A container that runs again; the caller owns ``pidfd`` and ``master``, -1 for none."""

    container: Container
    pid: int
    pidfd: int
    master: int


def restore(request: RestoreRequest, options: Options, log: Log) -> int:
    """Restore a container; return its exit status (128 + n for signal n), 0 for a detached one.

    Raises:
        NestboxError: it cannot be restored; nothing is left behind.
    """
    mode = request.mode
    if mode.detach:
        with _held_restore(request, options, log) as restored:
            os.close(restored.pidfd)
            return 0
    if not mode.no_subreaper:
        from nestbox.kernel.syscalls import prctl

        prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with (
        forwarded_signals() as forwarding,
        _held_restore(request, options, log) as restored,
    ):
        status = attend(restored.pid, restored.pidfd, restored.master, forwarding)
    if not mode.keep:
        _delete(options.root, restored.container.id, log)
    return status


def _delete(root: str, container_id: str, log: Log) -> None:
    """Remove the container; somebody else may have done so."""
    store = Store(root)
    with contextlib.suppress(NoContainer):
        held = store.hold(container_id)
        try:
            destroy(store.load(container_id), held, log)
        finally:
            held.let_go()


@contextlib.contextmanager
def _held_restore(request: RestoreRequest, options: Options, log: Log) -> Iterator[Restored]:
    """Give a container that was restored, with its lock already gone."""
    asked = request.create
    check_id(asked.id)
    bundle = read_bundle(asked)
    launch_options = launch_options_of(asked, options)
    attached = not request.mode.detach
    terminal = bundle.config.process.terminal
    with open_outlets(asked, terminal=terminal, keep_master=attached) as outlets:
        accepted = accept(bundle, launch_options, options, os.environ)
        store = Store(options.root)
        state = new_state(asked, accepted, launch_options)
        held = store.claim(state, bundle.text)
        try:
            creation = Creation(Container(options.root, state), held, accepted, outlets, log)
            restored = _Restore(request, options, creation).run()
        except BaseException:
            undo(store, asked.id, held, log)
            raise
        held.let_go()
        yield restored


class _Restore:
    """One restore; each method is one stage."""

    def __init__(self, request: RestoreRequest, options: Options, creation: Creation) -> None:
        self.request = request
        self.criu = options.criu
        self.creation = creation
        self.container = creation.container
        self.accepted = creation.accepted
        self.config = creation.accepted.bundle.config
        self.held = creation.held
        self.outlets = creation.outlets
        self.log = creation.log
        self.pid = 0
        self.master = -1

    def run(self) -> Restored:
        """Let CRIU make the processes. Raises NestboxError."""
        self._check_features()
        cgroups = self.creation.make_surroundings()
        try:
            with contextlib.ExitStack() as stack:
                self._restore(cgroups, stack)
        finally:
            with contextlib.suppress(OSError):
                remove_root(self.container.directory)
        pidfd = os.pidfd_open(self.pid)
        self.outlets.announce(self.pid, pidfd)
        return Restored(container=self.container, pid=self.pid, pidfd=pidfd, master=self.master)

    def _check_features(self) -> None:
        found = version(self.criu)
        asked = {
            "lsm-profile": self.request.lsm_profile,
            "lsm-mount-context": self.request.lsm_mount_context,
        }
        for name, value in asked.items():
            if value and found < _LSM_VERSION:
                raise LaunchError(
                    f"--{name} requires at least CRIU 3.16",
                    cause=f"{self.criu!r} is older",
                    remedy="install a newer CRIU",
                )
        if self.request.criu.lazy_pages:
            require_feature(self.criu, "lazy_pages")

    def _restore(self, cgroups: CgroupState, stack: contextlib.ExitStack) -> None:
        namespaces = self._namespaces(stack)
        root = self.accepted.bundle.root
        with private_mounts():
            # CRIU works in these directories, so that they have to be those of its own mounts.
            directories = stack.enter_context(image_directories(self.request.criu))
            place = mount_root(self.container.directory, root, self.accepted.launch.mounts)
            pairs = self._mounts(root, place.empty)
            service = Service(
                self.criu, stdio=self._streams(), inherited=tuple(namespaces.values())
            )
        stack.callback(service.stop)
        handed = tuple({"key": key, "fd": fd} for key, fd in namespaces.items())
        options = restore_options(self.request, self.config, root=place.root)
        options |= directories.members
        options["ext_mnt"] = mount_members(pairs)
        options["inherit_fd"] = handed + self._pipes()
        try:
            self._ask(service, cgroups, options)
        except LaunchError as error:
            raise with_log(error, os.path.join(directories.log, _LOG), self.log) from error

    def _namespaces(self, stack: contextlib.ExitStack) -> dict[str, int]:
        """Return the namespaces that CRIU gets as descriptors, which the stack closes."""
        opened = {}
        for key, path in handed_namespaces(self.config).items():
            try:
                opened[key] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise LaunchError(
                    f"requested namespace {path!r} does not exist",
                    cause=reason(error),
                    remedy="make the namespace before the restore",
                ) from error
            stack.callback(os.close, opened[key])
        return opened

    def _streams(self) -> tuple[int, int, int] | None:
        return None if self.container.state.terminal else (0, 1, 2)

    def _mounts(self, root: str, empty: str) -> tuple[tuple[str, str], ...]:
        outer = parse_mountinfo(read_proc("/proc/thread-self/mountinfo"))
        return restore_pairs(self.accepted.launch, outer, root, empty)

    def _pipes(self) -> tuple[dict[str, Any], ...]:
        if self.container.state.terminal:
            return ()
        return inherited_pipes(read_descriptors(self.request.criu.image_path))

    def _ask(self, service: Service, cgroups: CgroupState, options: dict[str, Any]) -> None:
        # What CRIU makes is born where CRIU is.
        enter(cgroups, service.pid)
        lines = parse_cgroup(read_proc(f"/proc/{service.pid}/cgroup"))
        roots = {name: line.path for line in lines for name in line.controllers or ("",)}
        options["cg_root"] = cgroup_roots(roots)
        service.ask({"type": RESTORE, "opts": options}, self._notified)
        service.finish(RESTORE)

    def _enter(self, cgroups: CgroupState, pid: int) -> None:
        """Move CRIU to where the container is to be: what it makes is born where it is."""
        for loss in enter(cgroups, pid).losses[len(cgroups.losses) :]:
            self.log.warning(loss)
        rdt = self.config.linux.intel_rdt
        if rdt is not None:
            from nestbox.runtime.oci import resctrl

            resctrl.enter(resctrl.required_group(rdt, self.container.id), pid)

    def _notified(self, script: str, pid: int, fd: int) -> None:
        if script == "orphan-pts-master" and fd >= 0:
            self._take_terminal(fd)
        elif fd >= 0:
            os.close(fd)
        if script == "setup-namespaces":
            before_start(self.container, self.config, pid)
        elif script == "post-restore":
            self._remember(pid)

    def _take_terminal(self, master: int) -> None:
        if self.outlets.keep_master:
            self.master = master
            return
        try:
            self.outlets.send_console(master)
        finally:
            os.close(master)

    def _remember(self, pid: int) -> None:
        """Write the process into the state: from here on the container runs."""
        start = start_time(pid)
        if start is None:
            raise LaunchError(
                "cannot find the restored process",
                cause=f"process {pid} is gone again",
                remedy="see the log of CRIU",
            )
        self.pid = pid
        if "time" not in self.container.state.namespaces and _has_own_time(pid):
            self.held.write(CONFIG, _with_time_namespace(self.accepted.bundle.text))
        self.held.write_process(Process(pid=pid, start=start))


def _has_own_time(pid: int) -> bool:
    """Whether CRIU has put a process into a time namespace, so that its clocks do not jump."""
    try:
        return os.readlink(f"/proc/{pid}/ns/time") != os.readlink("/proc/self/ns/time")
    except OSError:
        return False


def _with_time_namespace(text: bytes) -> bytes:
    """Return a configuration with a time namespace, which later processes have to join."""
    document = msgspec.json.decode(text)
    namespaces = document.setdefault("linux", {}).setdefault("namespaces", [])
    if not any(one.get("type") == "time" for one in namespaces):
        namespaces.append({"type": "time"})
    return msgspec.json.encode(document)
