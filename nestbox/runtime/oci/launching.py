"""The executor of one container from its start to the moment at which it waits for `start`."""

from __future__ import annotations

import os

import msgspec

from nestbox.errors import LaunchError, NestboxError, reason
from nestbox.executor.encode import namespace_flags
from nestbox.executor.program import sealed_program
from nestbox.kernel.spawn import Spawned, spawn
from nestbox.outer.facts import CapabilitySets
from nestbox.plan.steps import (
    SYNC_CGROUP,
    SYNC_ID_MAPS,
    SYNC_NETWORK_DEVICES,
    SYNC_RUNTIME_HOOKS,
    SYNC_TERMINAL,
    LaunchPlan,
    Lend,
    Receive,
    Sync,
)
from nestbox.runtime.oci.birth import spawn_in_cgroups
from nestbox.runtime.oci.container import CREATING, Container, Held
from nestbox.runtime.oci.documents import state_document
from nestbox.runtime.oci.failures import died, explain_failure
from nestbox.runtime.oci.stages import tell_spawned, tell_waiting
from nestbox.runtime.oci.started import Started, standard_streams
from nestbox.runtime.oci.talk import (
    CONSOLE,
    CREATED,
    FAILED,
    FORKED,
    LISTENER,
    SETS,
    SYNC,
    Answer,
    Report,
)
from nestbox.runtime.processes import Process, require_own_proc, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestbox.policy.launch_spec import MountSpec
    from nestbox.runtime.cgroup.setup import CgroupState
    from nestbox.runtime.oci.accept import Accepted
    from nestbox.runtime.oci.outlets import Outlets
    from nestbox.runtime.oci.requests import Log

_FIRST_HANDED = 3


class Launching(msgspec.Struct, frozen=True, kw_only=True):
    """All that a launch needs, and what to do at each report of the executor."""

    plan: LaunchPlan
    encoded: bytes
    accepted: Accepted
    cgroups: CgroupState
    container: Container
    held: Held
    outlets: Outlets
    log: Log

    def start(self, listener: int, cgroup: int) -> Started:
        """Start the executor and answer it until it waits for its start.

        Raises:
            NestboxError: a step failed; the executor is dead and waited for.
        """
        with standard_streams(self.container.state.terminal) as stdio:
            started = self._spawn(listener, cgroup, stdio)
        try:
            self._remember(started.pid)
            self._converse(started)
        except BaseException:
            started.abandon()
            raise
        return started

    def _spawn(self, listener: int, cgroup: int, stdio: tuple[int, int, int]) -> Started:
        count = self.accepted.launch.process.preserved
        program = sealed_program()

        def start(unified: int, tasks: tuple[int, ...]) -> Spawned:
            return spawn(
                self.encoded,
                program=program,
                flags=namespace_flags(self.plan.namespaces),
                stdio=stdio,
                plain=self.plan.plain_clone,
                cgroup=cgroup if unified < 0 else unified,
                tasks=tasks,
                listener=listener,
                preserved=tuple(range(_FIRST_HANDED, _FIRST_HANDED + count)),
            )

        try:
            child, born_in = spawn_in_cgroups(self.cgroups.location, start)
        except OSError as error:
            raise _not_started(self.plan, error) from error
        tell_spawned(self.log, child.pid, len(self.plan.steps))
        started = Started(child.pid, child.pidfd, child.control)
        started.born_in = born_in
        return started

    def _remember(self, pid: int) -> None:
        start = start_time(pid)
        if start is not None:
            self.held.write_process(Process(pid=pid, start=start))

    def _converse(self, started: Started) -> None:
        handed = iter(_handed(self.accepted.launch.mounts))
        try:
            while (report := started.talk.receive()) is not None:
                if report.kind == CREATED:
                    tell_waiting(self.log)
                    return
                answer = self._act(report, started, handed)
                if answer is not None:
                    started.talk.go(*answer)
                    if answer[1] >= 0:
                        os.close(answer[1])
        except OSError as error:
            raise died(reason(error)) from error
        raise died("it closed its connection")

    def _act(self, report: Report, started: Started, handed: Iterator[MountSpec]) -> Answer | None:
        match report.kind:
            case kind if kind == FAILED:
                raise explain_failure(self.plan, report)
            case kind if kind == SYNC:
                return self._at_sync(report, started, handed)
            case kind if kind == FORKED:
                started.become(report.value[0])
                self._remember(started.pid)
            case kind if kind == SETS:
                started.sets = CapabilitySets(
                    inheritable=report.value[0],
                    permitted=report.value[1],
                    effective=report.value[2],
                    bounding=report.value[3],
                    ambient=report.value[4],
                )
            case kind if kind == CONSOLE and report.fd >= 0:
                started.master = self.outlets.take_console(report.fd)
            case kind if kind == LISTENER and report.fd >= 0:
                self._hand_to_agent(report.fd, started)
            case _:
                if report.fd >= 0:
                    os.close(report.fd)
        return None

    def _hand_to_agent(self, listener: int, started: Started) -> None:
        from nestbox.runtime.oci.seccomp_agent import hand_over

        seccomp = self.accepted.bundle.config.linux.seccomp
        hand_over(
            seccomp, listener, started.pid, state_document(self.container, CREATING, started.pid)
        )

    def _at_sync(self, report: Report, started: Started, handed: Iterator[MountSpec]) -> Answer:
        number = report.step
        step = self.plan.steps[number] if 0 <= number < len(self.plan.steps) else None
        if isinstance(step, Receive):
            from nestbox.runtime.oci.handed import open_source

            return b"", open_source(next(handed), started.pid)
        if isinstance(step, Lend) and report.fd >= 0:
            from nestbox.runtime.oci.handed import map_lent

            try:
                map_lent(report.fd, next(handed), started.pid, plain_clone=self.plan.plain_clone)
            finally:
                os.close(report.fd)
            return b"", -1
        if not isinstance(step, Sync):
            raise died(f"it asks for something at step {number}, which asks for nothing")
        return self._answer(step.reason, started), -1

    def _answer(self, why: str, started: Started) -> bytes:
        launch = self.accepted.launch
        if why in {SYNC_ID_MAPS, SYNC_NETWORK_DEVICES}:
            require_own_proc()
        if why == SYNC_ID_MAPS:
            self._raise_limits(started.pid)
            from nestbox.runtime.idmaps import write_maps

            write_maps(launch, started.pid, self.accepted.environment.tools)
        elif why == SYNC_CGROUP:
            self._enter_cgroups(started)
        elif why == SYNC_NETWORK_DEVICES:
            from nestbox.runtime.oci.net_devices import move_net_devices

            devices = self.accepted.bundle.config.linux.net_devices
            move_net_devices(devices, f"/proc/{started.pid}/ns/net")
        elif why == SYNC_TERMINAL and started.master >= 0:
            from nestbox.runtime.terminal import take_size

            take_size(0, started.master)
        elif why == SYNC_RUNTIME_HOOKS:
            from nestbox.runtime.oci.hook_points import before_start

            before_start(self.container, self.accepted.bundle.config, started.pid)
        return state_document(self.container, CREATING, started.pid)

    def _raise_limits(self, pid: int) -> None:
        """Set with our rights what the kernel grants to the first user namespace alone."""
        process = self.accepted.launch.process
        if process.oom_score_adj is not None:
            _write(f"/proc/{pid}/oom_score_adj", str(process.oom_score_adj))
        if process.rlimits:
            from nestbox.runtime.oci.limits import set_limits

            set_limits(pid, process.rlimits)

    def _enter_cgroups(self, started: Started) -> None:
        from nestbox.runtime.cgroup.setup import enter

        pid = started.pid
        location = self.cgroups.location
        if location.version == 1 or location.unit is not None:
            for loss in enter(self.cgroups, pid, started.born_in).losses[
                len(self.cgroups.losses) :
            ]:
                self.log.warning(loss)
        rdt = self.accepted.bundle.config.linux.intel_rdt
        if rdt is not None:
            from nestbox.runtime.oci.resctrl import enter as enter_group
            from nestbox.runtime.oci.resctrl import required_group

            enter_group(required_group(rdt, self.container.id), pid)


def _handed(mounts: tuple[MountSpec, ...]) -> list[MountSpec]:
    """Return which mount each step is for that hands something over, in their order."""
    found: list[MountSpec] = []
    for mount in mounts:
        opened = (mount.handed_over or mount.id_mapping is not None) and not mount.from_root
        found += [mount] * (opened + (mount.id_mapping is not None))
    return found


def _write(path: str, text: str) -> None:
    from nestbox.kernel.writing import write_file

    try:
        write_file(path, text)
    except OSError as error:
        raise LaunchError(
            f"cannot write {text!r} to {path}", cause=reason(error), remedy="run `nestbox doctor`"
        ) from error


def _not_started(plan: LaunchPlan, error: OSError) -> NestboxError:
    names = ", ".join(plan.namespaces)
    return LaunchError(
        "unable to start the container's first process",
        cause=f"clone3(2) with new namespaces ({names}): {reason(error)}",
        remedy="run `nestbox doctor`: it tries each namespace and says what stops it",
    )
