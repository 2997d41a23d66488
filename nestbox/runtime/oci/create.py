"""create: from a bundle to a container that waits for start. Each effect is named in the state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import msgspec

from nestbox.errors import LaunchError, NestboxError, reason
from nestbox.executor.encode import encode
from nestbox.plan.steps import LaunchPlan, LoadSeccomp
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.cgroup_settings import ignored
from nestbox.runtime.cgroup.apply import check_unused
from nestbox.runtime.cgroup.setup import CgroupState, make, setup_of
from nestbox.runtime.cgroup.tree import open_directory
from nestbox.runtime.oci.accept import Accepted, accept, read_bundle
from nestbox.runtime.oci.compiled import compile_launch
from nestbox.runtime.oci.container import SOCKET, SOCKET_NEW, STATE, Container, Held
from nestbox.runtime.oci.failures import keep_plan
from nestbox.runtime.oci.launching import Launching
from nestbox.runtime.oci.new_state import launch_options_of, new_state
from nestbox.runtime.oci.outlets import Outlets, open_outlets
from nestbox.runtime.oci.records import keep_record
from nestbox.runtime.oci.requests import CreateRequest, Log, Options
from nestbox.runtime.oci.stages import tell_filter
from nestbox.runtime.oci.started import Started
from nestbox.runtime.oci.store import Store
from nestbox.runtime.oci.waiting import listen
from nestbox.runtime.roots import default_root, remember_root


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A container that waits for start; the caller owns ``pidfd`` and ``master``, -1 for none."""

    container: Container
    accepted: Accepted
    pid: int
    pidfd: int
    master: int


def create(request: CreateRequest, options: Options, log: Log) -> None:
    """Create a container, whose first process then waits for start.

    Raises:
        NestboxError: it cannot be; nothing is left behind.
    """
    with held_creation(request, options, log) as (created, held):
        os.close(created.pidfd)
        held.let_go()


@contextlib.contextmanager
def held_creation(
    request: CreateRequest, options: Options, log: Log, *, keep_master: bool = False
) -> Iterator[tuple[Created, Held]]:
    """Create a container and give it with its lock, which the caller ends.

    With ``keep_master`` the terminal's other end is handed to the caller instead of being sent to
    a console socket.

    Raises:
        NestboxError: it cannot be created; nothing is left behind.
    """
    store = Store(options.root)
    store.check_unused(request.id)
    bundle = read_bundle(request)
    launch_options = launch_options_of(request, options)
    terminal = bundle.config.process.terminal
    with open_outlets(request, terminal=terminal, keep_master=keep_master) as outlets:
        accepted = accept(bundle, launch_options, options, os.environ)
        for warning in accepted.resolution.warnings:
            log.warning(warning)
        state = new_state(request, accepted, launch_options)
        held = store.claim(state, bundle.text)
        try:
            remember_root(options.root, default_root(os.environ, os.geteuid()))
            container = Container(options.root, state)
            created = Creation(container, held, accepted, outlets, log).run()
        except BaseException:
            undo(store, request.id, held, log)
            raise
        yield created, held


def undo(store: Store, container_id: str, held: Held, log: Log) -> None:
    """Remove what was made; the first error is the one to tell, so that another is only logged."""
    try:
        from nestbox.runtime.oci.destroy import destroy

        destroy(store.load(container_id), held, log)
    except NestboxError as error:
        log.warning(f"cannot clean up after the failed creation: {error}")
        held.let_go()


class Creation:
    """One container on its way; each method is one stage."""

    def __init__(
        self,
        container: Container,
        held: Held,
        accepted: Accepted,
        outlets: Outlets,
        log: Log,
    ) -> None:
        self.container = container
        self.held = held
        self.accepted = accepted
        self.outlets = outlets
        self.log = log

    def run(self) -> Created:
        """Make the surroundings, start the executor and answer it until it waits for start."""
        cgroups = self.make_surroundings()
        plan = compile_launch(self.accepted, cgroups.location)
        for step in plan.steps:
            if isinstance(step, LoadSeccomp):
                tell_filter(self.log, step.flags)
        started = self._launch(cgroups, plan)
        try:
            self._finish(started, plan)
        except BaseException:
            started.abandon()
            raise
        started.talk.close()
        return Created(
            container=self.container,
            accepted=self.accepted,
            pid=started.pid,
            pidfd=started.pidfd,
            master=started.master,
        )

    def make_surroundings(self) -> CgroupState:
        """Make what has to be there before any process; return what the cgroups are."""
        if self.accepted.options.notify_socket is not None:
            from nestbox.runtime.oci.notify import make_directory

            make_directory(self.container.directory)
        cgroups = self._make_cgroups()
        self._enter_resctrl_group()
        return cgroups

    def _make_cgroups(self) -> CgroupState:
        location = msgspec.convert(self.container.state.cgroup, CgroupLocation)
        namespace = self.accepted.environment.user_namespace
        assert namespace is not None
        setup = setup_of(
            self.accepted.bundle.config,
            location,
            self.container.id,
            user_namespace=not namespace.initial,
        )
        for sentence in ignored(setup.resources, location):
            self.log.warning(sentence)
        try:
            check_unused(location)
        except LaunchError:
            # Somebody was faster; what is in it is not ours to remove.
            self._update_state(cgroup=msgspec.to_builtins(CgroupLocation(version=0)))
            raise
        made = make(setup)
        for loss in made.losses:
            self.log.warning(loss)
        if made.location != location:
            self._update_state(cgroup=msgspec.to_builtins(made.location))
        return made

    def _enter_resctrl_group(self) -> None:
        rdt = self.accepted.bundle.config.linux.intel_rdt
        if rdt is None:
            return
        from nestbox.runtime.oci.resctrl import kept, prepare, required_group

        group = required_group(rdt, self.container.id)
        # Before it exists, so that a kill in the middle leaves nothing without an owner.
        self._update_state(resctrl=kept(group))
        prepare(group, rdt)

    def _update_state(self, **members: object) -> None:
        for name, value in members.items():
            setattr(self.container.state, name, value)
        self.held.write(STATE, self.container.state.to_json())

    def _launch(self, cgroups: CgroupState, plan: LaunchPlan) -> Started:
        listener = listen(self.held.directory)
        cgroup_fd = open_directory(cgroups.location)
        try:
            launching = Launching(
                plan=plan,
                encoded=encode(plan),
                accepted=self.accepted,
                cgroups=cgroups,
                container=self.container,
                held=self.held,
                outlets=self.outlets,
                log=self.log,
            )
            return launching.start(listener, -1 if cgroup_fd is None else cgroup_fd)
        finally:
            os.close(listener)
            if cgroup_fd is not None:
                os.close(cgroup_fd)

    def _finish(self, started: Started, plan: LaunchPlan) -> None:
        keep_record(self.held, self.container.state, self.accepted, started)
        keep_plan(self.held.directory, plan)
        self.outlets.announce(started.pid, started.pidfd)
        # The last step: from here on the container is created.
        try:
            os.rename(self.held.path(SOCKET_NEW), self.held.path(SOCKET))
        except OSError as error:
            raise LaunchError(
                f"cannot finish the creation of {self.container.id!r}",
                cause=reason(error),
                remedy="see who changes the state directory",
            ) from error
