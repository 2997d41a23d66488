"""exec: one more process in a container that runs, with no more rights than it was given."""

from __future__ import annotations

import os

import msgspec

from nestbox.errors import StateError, reason
from nestbox.executor.encode import encode, namespace_flags
from nestbox.executor.program import sealed_program
from nestbox.kernel.spawn import Spawned, spawn
from nestbox.oci.config import Config
from nestbox.oci.process import Process
from nestbox.oci.read import parse_config
from nestbox.plan.steps import SYNC_CGROUP, SYNC_TERMINAL, Sync
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.cgroup_sub import sub_cgroup
from nestbox.runtime.cgroup.tree import enter
from nestbox.runtime.oci.activation import check_preserved
from nestbox.runtime.oci.attend import attend, forwarded_signals
from nestbox.runtime.oci.birth import spawn_in_cgroups
from nestbox.runtime.oci.container import CREATED, CREATING, PAUSED, RUNNING, STOPPED, Container
from nestbox.runtime.oci.documents import state_document
from nestbox.runtime.oci.exec_cgroup import spawn_in_unified
from nestbox.runtime.oci.exec_plan import ExecCase, plan_exec
from nestbox.runtime.oci.exec_process import asked_process
from nestbox.runtime.oci.failures import died, explain_failure
from nestbox.runtime.oci.outlets import Outlets, open_outlets
from nestbox.runtime.oci.requests import ExecRequest, Log, Options
from nestbox.runtime.oci.stages import tell_affinity, tell_executed, tell_spawned
from nestbox.runtime.oci.started import Started, standard_streams
from nestbox.runtime.oci.store import Store
from nestbox.runtime.oci.talk import CONSOLE, FAILED, FORKED, LISTENER, SYNC, Answer, Report

_FIRST_HANDED = 3


def execute(request: ExecRequest, options: Options, log: Log) -> int:
    """Run a process in a container; return its exit status, or 0 for a detached one.

    Raises:
        NestboxError: it cannot be run; the program was not executed.
    """
    container = Store(options.root).load(request.id)
    _check_status(container, request)
    config = parse_config(container.configuration(), source=container.path("config.json"))
    process = asked_process(request, config.process)
    check_preserved(_FIRST_HANDED, request.preserve_fds)
    with open_outlets(
        request, terminal=process.terminal, keep_master=not request.detach
    ) as outlets:
        run = _Exec(container, config, process, request, outlets)
        run.resolve(log)
        if request.detach:
            started = run.start()
            started.close()
            return 0
        with forwarded_signals() as forwarding:
            started = run.start()
            started.talk.close()
            return attend(started.pid, started.pidfd, started.master, forwarding)


def _check_status(container: Container, request: ExecRequest) -> None:
    status = container.status()
    if status in {RUNNING, CREATED} or (status == PAUSED and request.ignore_paused):
        return
    causes = {
        STOPPED: "cannot exec in a stopped container",
        CREATING: "cannot exec in a container that is being created",
        PAUSED: "cannot exec in a paused container (use --ignore-paused to override)",
    }
    raise StateError(
        f'cannot exec in the container "{container.id}"',
        cause=causes[status],
        remedy="resume it first" if status == PAUSED else "start a container that keeps running",
    )


class _Exec:
    """One process on its way into a container; each method is one stage."""

    def __init__(
        self,
        container: Container,
        config: Config,
        process: Process,
        request: ExecRequest,
        outlets: Outlets,
    ) -> None:
        self.container = container
        self.config = config
        self.process = process
        self.request = request
        self.outlets = outlets
        first = container.process()
        if first is None:
            raise StateError(
                f'cannot exec in the container "{container.id}"',
                cause="cannot exec in a stopped container",
                remedy="start a container that keeps running",
            )
        self.first = first
        location = msgspec.convert(container.state.cgroup, CgroupLocation)
        self.location = sub_cgroup(location, request.cgroup)

    def resolve(self, log: Log) -> None:
        """Decide what the process gets, and compile its plan. Raises NestboxError."""
        self.log = log
        case = ExecCase(
            container=self.container,
            config=self.config,
            process=self.process,
            first=self.first,
            preserve_fds=self.request.preserve_fds,
        )
        waits = self.location.version == 1 or self.config.linux.intel_rdt is not None
        planned = plan_exec(case, wait_for_cgroup=waits, log=log)
        self.plan = planned.plan
        self.resolution = planned.resolution
        self.namespaces = planned.namespaces

    def start(self) -> Started:
        """Start the executor and answer it until the program was executed. Raises LaunchError."""
        with standard_streams(self.process.terminal) as stdio:
            started = self._spawn(stdio)
        try:
            self._converse(started)
            self.namespaces.close()
            tell_executed(self.log)
            self.outlets.announce(started.pid, started.pidfd)
        except BaseException:
            started.abandon()
            raise
        return started

    def _spawn(self, stdio: tuple[int, int, int]) -> Started:
        preserved = range(_FIRST_HANDED, _FIRST_HANDED + self.request.preserve_fds)
        encoded = encode(self.plan)
        program = sealed_program()

        def start(cgroup: int, tasks: tuple[int, ...]) -> Spawned:
            return spawn(
                encoded,
                program=program,
                flags=namespace_flags(self.plan.namespaces),
                stdio=stdio,
                plain=self.plan.plain_clone,
                cgroup=cgroup,
                tasks=tasks,
                preserved=(*preserved, *self.namespaces.descriptors),
            )

        def start_in(cgroup: int) -> tuple[Spawned, frozenset[str]]:
            return spawn_in_cgroups(
                self._birthplace(),
                lambda beside, tasks: start(cgroup if beside < 0 else beside, tasks),
            )

        try:
            child, born_in = spawn_in_unified(
                self.location, self.first.pid, named=bool(self.request.cgroup), start=start_in
            )
        except OSError as error:
            raise died(reason(error)) from error
        tell_spawned(self.log, child.pid, len(self.plan.steps))
        started = Started(child.pid, child.pidfd, child.control)
        started.born_in = born_in
        return started

    def _birthplace(self) -> CgroupLocation:
        """Return the cgroups to be born in: none of a paused container, in which it would stop
        before it is the executor, and none while the processors for the time before are to be set.
        """
        if self.resolution.initial_affinity or self.request.ignore_paused:
            return CgroupLocation(version=0)
        return self.location

    def _converse(self, started: Started) -> None:
        executed = False
        try:
            while (report := started.talk.receive()) is not None:
                executed = True
                answer = self._act(report, started)
                if answer is not None:
                    started.talk.go(*answer)
        except OSError as error:
            raise died(reason(error)) from error
        if not executed:
            raise died("it closed its connection")

    def _act(self, report: Report, started: Started) -> Answer | None:
        match report.kind:
            case kind if kind == FAILED:
                raise explain_failure(self.plan, report)
            case kind if kind == SYNC:
                return self._at_sync(report.step, started), -1
            case kind if kind == FORKED:
                started.become(report.value[0])
            case kind if kind == CONSOLE and report.fd >= 0:
                started.master = self.outlets.take_console(report.fd)
            case kind if kind == LISTENER and report.fd >= 0:
                self._hand_to_agent(report.fd, started)
            case _:
                if report.fd >= 0:
                    os.close(report.fd)
        return None

    def _at_sync(self, number: int, started: Started) -> bytes:
        step = self.plan.steps[number] if 0 <= number < len(self.plan.steps) else None
        if not isinstance(step, Sync):
            raise died(f"it asks for something at step {number}, which asks for nothing")
        if step.reason == SYNC_CGROUP:
            if self.resolution.initial_affinity:
                os.sched_setaffinity(started.pid, self.resolution.initial_affinity)
                tell_affinity(self.log, started.pid, os.sched_getaffinity(started.pid))
            if self.location.version == 1:
                enter(self.location, started.pid, started.born_in)
            self._enter_resctrl_group(started.pid)
        if step.reason == SYNC_TERMINAL and started.master >= 0:
            from nestbox.runtime.terminal import take_size

            take_size(0, started.master)
        return b""

    def _enter_resctrl_group(self, pid: int) -> None:
        rdt = self.config.linux.intel_rdt
        if rdt is not None:
            from nestbox.runtime.oci.resctrl import enter as enter_group
            from nestbox.runtime.oci.resctrl import required_group

            enter_group(required_group(rdt, self.container.id), pid)

    def _hand_to_agent(self, listener: int, started: Started) -> None:
        from nestbox.runtime.oci.seccomp_agent import hand_over

        seccomp = self.config.linux.seccomp
        hand_over(seccomp, listener, started.pid, state_document(self.container, RUNNING))
