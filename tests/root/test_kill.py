"""kill -9 of nestbox at every step of a launch: the next command leaves nothing of it."""

from __future__ import annotations

import os
import signal
import threading

import msgspec
import pytest

from nestbox.executor.encode import encode
from nestbox.plan.steps import Exec, Sync
from nestbox.policy.request import RootKind, RootMode, RootRequest, RunRequest
from nestbox.runtime.prepare import plan_of, prepare
from nestbox.runtime.run import RunOptions, _Clock, _Run, run
from nestbox.runtime.state import ContainerState, abandoned, claim

KILL = "kill"
LIMITS = {"memory_bytes": 64 << 20, "pids_limit": 20, "cpus": 0.5}
REQUESTS = {
    "overlay with limits": {"mode": RootMode.OVERLAY, **LIMITS},
    "privileged with an init": {"privileged": True, "init": True, "mode": RootMode.OVERLAY},
    "a user in a user namespace": {"user": "1000", "user_namespace": "auto", **LIMITS},
    "with a terminal": {"terminal": True},
}
STATE = ContainerState(id="again", created="", boot_id="", pid_namespace=0)
STAGES = ("claimed", "surrounded", "started", "written", "ended", "cleaned")


class KilledAtStep(_Run):
    """A launch that is killed by SIGKILL when the executor has done this many steps."""

    def kill_after(self, done: int) -> None:
        steps = self.plan.steps
        plan = (*steps[:done], Sync(reason=KILL), *steps[done:])
        self.plan = msgspec.structs.replace(self.plan, steps=plan)
        self.encoded = encode(self.plan)

    def _at_sync(self, reason, conversation):
        if reason == KILL:
            die()
        super()._at_sync(reason, conversation)


class KilledAtStage(_Run):
    """A launch that is killed when Python has come to this stage."""

    stage = ""

    def _make_surroundings(self, undo):
        self._at("claimed")
        super()._make_surroundings(undo)
        self._at("surrounded")

    def _start(self, stdio):
        conversation = super()._start(stdio)
        self._at("started")
        return conversation

    def _record(self, **arguments):
        self._at("written")
        return super()._record(**arguments)

    def _attend(self, *arguments):
        code = super()._attend(*arguments)
        self._at("ended")
        return code

    def _attended(self, held, undo):
        # What is undone last but one: everything but the state is gone.
        undo.callback(self._at, "cleaned")
        return super()._attended(held, undo)

    def _at(self, stage):
        if stage == self.stage:
            die()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def request_of(image, name, *, mode=RootMode.DIRECT, **fields):
    root = RootRequest(kind=RootKind.DIRECTORY, directory=str(image), mode=mode)
    return RunRequest(argv=("true",), root=root, name=name, network="none", **fields)


def killed(make):
    """Run a launch in a child process of its own; hold that it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            make().run()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the launch came to its end"
    assert os.WTERMSIG(status) == signal.SIGKILL


def launch_of(kind, request, context):
    return kind(prepare(request, context), context, RunOptions(capture=True), _Clock())


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_kill_after_any_step_of_the_executor_leaves_nothing(
    nestbox, image, context, surroundings, orphans, fields
):
    request = request_of(image, f"{nestbox.prefix}-killed", **fields)
    after = request_of(image, f"{nestbox.prefix}-next")
    run(after, context, RunOptions(capture=True))
    before = surroundings()
    steps = plan_of(prepare(request, context), context).steps
    assert isinstance(steps[-1], Exec)
    for done in range(len(steps)):

        def make(done=done):
            launch = launch_of(KilledAtStep, request, context)
            launch.kill_after(done)
            return launch

        killed(make)
        orphans()
        run(after, context, RunOptions(capture=True))
        assert surroundings() == before, f"after step {done}, {steps[done - 1 : done]}"


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_any_stage_of_the_runtime_leaves_nothing(
    nestbox, image, context, surroundings, orphans, fields, stage
):
    request = request_of(image, f"{nestbox.prefix}-killed", **fields)
    after = request_of(image, f"{nestbox.prefix}-next")
    run(after, context, RunOptions(capture=True))
    before = surroundings()

    def make():
        launch = launch_of(KilledAtStage, request, context)
        launch.stage = stage
        return launch

    killed(make)
    orphans()
    run(after, context, RunOptions(capture=True))
    assert surroundings() == before


@pytest.mark.parametrize("files", range(5))
def test_a_kill_while_the_state_is_removed_leaves_nothing(
    nestbox, image, context, surroundings, orphans, monkeypatch, files
):
    """After each of the files, however many there are."""
    request = request_of(image, f"{nestbox.prefix}-killed")
    run(request, context, RunOptions(capture=True))
    before = surroundings()

    class KilledInRelease(KilledAtStage):
        stage = "never"

        def _attended(self, held, undo):
            finished = super()._attended(held, undo)
            undo.callback(self._count)
            return finished

        def _count(self):
            left = iter(range(files))

            def unlink(*arguments, unlink=os.unlink, **options):
                if next(left, None) is None:
                    die()
                unlink(*arguments, **options)

            def rmdir(*_, **__):
                die()

            monkeypatch.setattr(os, "unlink", unlink)
            monkeypatch.setattr(os, "rmdir", rmdir)

    killed(lambda: launch_of(KilledInRelease, request, context))
    orphans()
    assert surroundings() != before
    run(request_of(image, f"{nestbox.prefix}-next"), context, RunOptions(capture=True))
    assert surroundings() == before


def test_a_sweep_never_takes_a_living_container_for_a_dead_one(nestbox, context):
    """Also when its name was another's a moment ago, whose lock the sweep had opened."""
    nestbox.state.mkdir(parents=True, mode=0o700)
    taken, ended = [], threading.Event()

    def sweep():
        while not ended.is_set():
            for held, _ in abandoned(context.root):
                taken.append(held.container)
                held.let_go()

    thread = threading.Thread(target=sweep)
    thread.start()
    for _ in range(1000):
        claim(context.root, STATE).release()
    ended.set()
    thread.join()
    assert taken == []


def test_the_next_command_can_use_the_same_name(nestbox, image, context, orphans):
    request = request_of(image, f"{nestbox.prefix}-killed", **LIMITS)

    def make():
        launch = launch_of(KilledAtStage, request, context)
        launch.stage = "started"
        return launch

    killed(make)
    orphans()
    assert run(request, context, RunOptions(capture=True)).exit_code == 0
