"""One container from request to exit code: made, launched, waited for and removed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

import msgspec

from nestbox.errors import LaunchError, NestboxError, UsageError, reason
from nestbox.executor.encode import encode
from nestbox.outer.probe import fingerprint_of
from nestbox.outer.throwaway import make_private
from nestbox.plan.render import render
from nestbox.plan.steps import (
    SYNC_CGROUP,
    SYNC_FUSE,
    SYNC_ID_MAPS,
    SYNC_LEAF,
    SYNC_TERMINAL,
    LaunchPlan,
)
from nestbox.policy.launch_spec import LaunchSpec
from nestbox.policy.prediction import predict_after_exec
from nestbox.policy.request import RunRequest
from nestbox.policy.resolution import refusal
from nestbox.runtime.cgroup import limits as cgroups
from nestbox.runtime.cgroup.removal import remove_directory
from nestbox.runtime.context import Context
from nestbox.runtime.directories import open_root
from nestbox.runtime.forwarding import Forwarding
from nestbox.runtime.history import keep_finished, keep_running
from nestbox.runtime.idmaps import write_maps
from nestbox.runtime.launch import Conversation, Launched, wait
from nestbox.runtime.network.attachment import Attachment
from nestbox.runtime.prepare import Prepared, launch_of, notices, plan_of, prepare
from nestbox.runtime.processes import Process, boot_id, pid_namespace, start_time
from nestbox.runtime.record import Record
from nestbox.runtime.removal import remove_tree
from nestbox.runtime.state import Claim, ContainerState, claim
from nestbox.runtime.stdio import Stdio, behind_terminal, captured, passed_through
from nestbox.runtime.streams import Pump
from nestbox.runtime.sweep import sweep
from nestbox.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.fuse_root import FuseRoot

_SIGKILL = 9

# A container that ends before this is recorded once, at its end.
_RECORDED_AFTER_SECONDS = 0.1


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A container that has ended: its exit code, its record, and what was captured."""

    exit_code: int
    record: Record
    stdout: bytes = b""
    stderr: bytes = b""


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a container is attended; what it is, is the request's matter.

    ``decided`` gets what was decided and ``notice`` each line that is to be shown, both before the
    launch. ``forward_signals`` hands the
    signals of this process to the container, which only a program's main thread may ask for.
    """

    decided: Callable[[Prepared], None] = lambda prepared: None
    notice: Callable[[str], None] = lambda line: None
    forward_signals: bool = False
    capture: bool = False
    input: bytes | None = None
    timeout_seconds: float | None = None


def run(request: RunRequest, context: Context, options: RunOptions | None = None) -> Finished:
    """Run one container to its end.

    Raises:
        Refused: something that was asked for by name is not to be had; nothing was created.
        NestboxError: the request is not valid, or the launch failed; nothing is left behind.
    """
    options = options or RunOptions()
    clock = _Clock()
    prepared = prepare(request, context)
    clock.lap("resolve")
    refused = refusal(prepared.resolution)
    if refused is not None:
        raise refused
    options.decided(prepared)
    for line in notices(prepared):
        options.notice(line)
    return _Run(prepared, context, options, clock).run()


class _Clock:
    """The milliseconds of each phase of a launch."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.phases[phase] = round((now - self._last) * 1000, 3)
        self._last = now


class _Run:
    """One container on its way; each method is one stage of it."""

    def __init__(
        self, prepared: Prepared, context: Context, options: RunOptions, clock: _Clock
    ) -> None:
        self.prepared = prepared
        self.context = context
        self.options = options
        self.clock = clock
        self.launch: LaunchSpec = launch_of(prepared)
        self.plan: LaunchPlan = plan_of(prepared, context)
        self.encoded = encode(self.plan)
        self.created = _now()
        self.left_behind = False
        self.network = Attachment(self.launch)
        self.fuse = _fuse_root(self.launch)
        self._own = self.launch.root.upper or self.launch.volumes
        clock.lap("compile")

    def run(self) -> Finished:
        open_root(self.context.root)
        sweep(self.context.root)
        state = ContainerState(
            id=self.prepared.container,
            created=self.created,
            boot_id=boot_id(),
            pid_namespace=pid_namespace(),
            cgroups=tuple(
                cgroups.directory_of(spec, self.prepared.container) for spec in self.launch.cgroups
            ),
            upper=self._own,
            table=self.network.table,
        )
        held = claim(self.context.root, state)
        with contextlib.ExitStack() as undo:
            # The state names what is to be undone, so it goes last.
            undo.callback(self._let_go_of, held)
            undo.callback(self._remove, lambda _: self.network.close(), "its network")
            self.network.reserve(held)
            finished = self._attended(held, undo)
        with contextlib.suppress(NestboxError):
            # The container has run; a record that cannot be kept does not make it a failure.
            keep_finished(self.context.root, finished.record)
        return finished

    def _attended(self, held: Claim, undo: contextlib.ExitStack) -> Finished:
        self._make_surroundings(undo)
        stdio = self._stdio()
        undo.callback(stdio.close)
        self.clock.lap("create")
        forwarding = None
        if self.options.forward_signals:
            forwarding = Forwarding()
            undo.callback(forwarding.end)
        conversation = self._start(stdio)
        try:
            start = start_time(conversation.pid)
            if start is not None:
                held.write_process(Process(pid=conversation.pid, start=start))
            record = self._record(pid=conversation.pid)
            if forwarding is not None:
                # Importing and installing costs two milliseconds that the executor needs anyway.
                forwarding.begin()
        except BaseException:
            conversation.abandon()
            raise
        try:
            launched = conversation.finish(self._at_sync)
        except NestboxError as failure:
            error = (self.fuse.lost() if self.fuse else None) or failure
            self.clock.lap("launch")
            with contextlib.suppress(NestboxError):
                keep_finished(self.context.root, msgspec.structs.replace(record, error=str(error)))
            raise error from (None if error is failure else failure)
        self.clock.lap("launch")
        record = msgspec.structs.replace(record, sets=launched.sets, network=self.network.connected)
        exit_code = self._attend(launched, record, stdio, forwarding)
        self.clock.lap("run")
        if self.network.is_lost():
            self.options.notice("nestbox: the container's network was lost before its end")
        finished = msgspec.structs.replace(record, exit_code=exit_code)
        out, err = stdio.captured
        return Finished(exit_code=exit_code, record=finished, stdout=bytes(out), stderr=bytes(err))

    def _make_surroundings(self, undo: contextlib.ExitStack) -> None:
        """Make what has to be there before the executor: cgroups, the upper layer, volumes."""
        for mount in self.prepared.request.mounts:
            if mount.type == "bind" and not mount.must_exist:
                _make_volume(mount.source)
        if self._own is not None:
            _make_upper(self._own)
            undo.callback(self._remove, remove_tree, self._own)
            if self.fuse is not None:
                undo.callback(self.fuse.end)
        for new in self.launch.mounts:
            if new.new_directory:
                _make_volume(new.source)
        for spec in self.launch.cgroups:
            directory = cgroups.directory_of(spec, self.prepared.container)
            undo.callback(self._remove, remove_directory, directory)
            cgroups.create(spec, self.prepared.container)

    def _remove(self, remove: Callable[[str], None], path: str) -> None:
        """Remove what was made; one that is busy is told and does not cost the result."""
        try:
            remove(path)
        except OSError as error:
            self.left_behind = True
            self.options.notice(
                f"nestbox: {path} is left behind ({reason(error)}); a later run removes it"
            )

    def _let_go_of(self, held: Claim) -> None:
        """End the claim, and leave the state if it names something that is still there."""
        if self.left_behind:
            held.let_go()
        else:
            held.release()

    def _stdio(self) -> Stdio:
        if self.launch.process.terminal:
            return behind_terminal()
        if self.options.capture:
            return captured(self.options.input)
        return passed_through(self.context, interactive=self.prepared.request.interactive)

    def _start(self, stdio: Stdio) -> Conversation:
        """Start the executor, in its cgroup where the kernel can do that (v2)."""
        cgroup = -1
        try:
            for spec in self.launch.cgroups:
                if spec.version == 2 and not spec.scope:
                    directory = cgroups.directory_of(spec, self.prepared.container)
                    cgroup = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            return Conversation(self.plan, self.encoded, stdio=stdio.child, cgroup=cgroup)
        finally:
            if cgroup >= 0:
                os.close(cgroup)

    def _at_sync(self, reason: str, conversation: Conversation) -> None:
        if reason == SYNC_ID_MAPS:
            write_maps(self.launch, conversation.pid, self.prepared.environment.tools)
        for line in self.network.at_sync(reason, conversation.pid):
            self.options.notice(line)
        if reason == SYNC_FUSE and self.fuse is not None:
            self.fuse.take_over(conversation)
        if reason in {SYNC_CGROUP, SYNC_LEAF}:
            self._place(reason, conversation.pid)
        if reason == SYNC_TERMINAL and conversation.master is not None:
            from nestbox.runtime.terminal import take_size

            take_size(self.context.stdin, conversation.master)

    def _place(self, reason: str, pid: int) -> None:
        """Move the container into its cgroups, or to a leaf of one that it is in."""
        for spec in self.launch.cgroups:
            if reason == SYNC_LEAF and spec.divide:
                cgroups.divide(spec, self.prepared.container)
            elif reason == SYNC_CGROUP and (spec.version == 1 or spec.scope):
                cgroups.enter(
                    spec,
                    self.prepared.container,
                    pid,
                    environment=self.context.environment,
                )

    def _attend(
        self, launched: Launched, record: Record, stdio: Stdio, forwarding: Forwarding | None
    ) -> int:
        """Copy streams and forward signals until the container has ended."""
        pump = Pump(launched.pidfd)
        deadline = _Deadline(self.options.timeout_seconds)

        def keep() -> None:
            with contextlib.suppress(NestboxError):
                keep_running(self.context.root, record)

        try:
            with contextlib.ExitStack() as terminal:
                if launched.master is not None:
                    from nestbox.runtime.terminal import attach

                    attach(launched.master, self.context, pump, terminal)
                stdio.connect(pump)
                if self.fuse is not None and self.fuse.pidfd is not None:
                    # Without its root nothing in the container can go on.
                    pump.at_end(self.fuse.pidfd, lambda: _signal(launched))
                if forwarding is not None:
                    forwarding.connect(pump, launched, self.context.stdin)
                in_time = pump.run(deadline.left, after=(_RECORDED_AFTER_SECONDS, keep))
        except BaseException:
            _kill(launched)
            raise
        finally:
            pump.close()
            if launched.master is not None:
                os.close(launched.master)
        if not in_time:
            _kill(launched)
            raise LaunchError(
                "the container was stopped",
                cause=f"it ran longer than {self.options.timeout_seconds} seconds",
                remedy="allow it more time",
            )
        try:
            exit_code = wait(launched)
        finally:
            os.close(launched.pidfd)
        lost = self.fuse.lost() if self.fuse else None
        if lost is not None:
            raise lost
        return exit_code

    def _record(self, *, pid: int) -> Record:
        """Return the record as far as it is known while the executor works."""
        resolution = self.prepared.resolution
        capabilities = self.prepared.environment.capabilities
        assert capabilities is not None
        return Record(
            id=self.prepared.container,
            nestbox=VERSION,
            created=self.created,
            fingerprint=fingerprint_of(self.prepared.environment),
            environment=self.prepared.environment,
            request=without_values(self.prepared.request),
            profile=resolution.profile,
            decisions=resolution.decisions,
            capabilities=resolution.capabilities.decisions,
            plan=tuple(render(self.plan).splitlines()),
            plan_digest=_digest(self.encoded),
            sets=None,
            after_exec=predict_after_exec(
                self.launch.capabilities,
                uid=self.launch.process.uid,
                program=self.prepared.root.program,
                securebits=0 if "user" in self.launch.namespaces else capabilities.securebits,
                no_new_privs=self.launch.process.no_new_privs,
            ),
            pid=pid,
            phases=self.clock.phases,
        )


class _Deadline:
    """The seconds that are left of a time limit."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        return None if self._end is None else self._end - time.monotonic()


def _fuse_root(launch: LaunchSpec) -> FuseRoot | None:
    """Return the program that shows the root, which few launches need."""
    if launch.root.fuse is None:
        return None
    from nestbox.runtime.fuse_root import FuseRoot

    return FuseRoot(launch.root)


def without_values(request: RunRequest) -> RunRequest:
    """Return the request as it may be recorded: of each variable only its name."""
    names = tuple(variable.partition("=")[0] for variable in request.environment)
    return msgspec.structs.replace(request, environment=names)


def _digest(data: bytes) -> str:
    """Return 32 hexadecimal digits that stand for these bytes."""
    from _blake2 import blake2b

    return str(blake2b(data, digest_size=16).hexdigest())


def _now() -> str:
    seconds = time.time()
    fraction = int(seconds % 1 * 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:06}Z"


def _make_volume(source: str) -> None:
    try:
        os.makedirs(source, exist_ok=True)
    except FileExistsError:
        return
    except OSError as error:
        raise UsageError(
            f"cannot use {source!r} as a volume",
            cause=f"it does not exist and cannot be made: {reason(error)}",
            remedy="make it, or name another directory",
        ) from error


def _make_upper(directory: str) -> None:
    try:
        # Who could change it could change what the container runs.
        make_private(os.path.dirname(os.path.dirname(directory)))
        make_private(os.path.dirname(directory))
        os.mkdir(directory, 0o700)
    except OSError as error:
        raise LaunchError(
            f"cannot make {directory!r} for what the container writes",
            cause=reason(error),
            remedy="free some space there, or choose another place with NESTBOX_STORAGE",
        ) from error


def _kill(launched: Launched) -> None:
    """End the container and reap it."""
    _signal(launched)
    try:
        wait(launched)
    finally:
        os.close(launched.pidfd)


def _signal(launched: Launched) -> None:
    from nestbox.kernel.syscalls import pidfd_send_signal

    with contextlib.suppress(ProcessLookupError):
        pidfd_send_signal(launched.pidfd, _SIGKILL)
