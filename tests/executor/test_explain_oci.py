"""The phrases that engines look for in what an OCI runtime says, for steps that really fail."""

from __future__ import annotations

import errno

import msgspec
import pytest

from nestbox.errors import LaunchError, ProgramNotFound, ProgramNotInvokable
from nestbox.executor.encode import FAILED, Report
from nestbox.executor.explain import explain
from nestbox.executor.explain_oci import oci_words
from nestbox.plan import steps as s
from nestbox.plan.compile import compile_plan
from nestbox.policy.launch_spec import HookSpec, LaunchSpec, MountSpec
from tests.plan.launches import NO_SETS, PLAIN

HOOKS = tuple(
    HookSpec(path=f"/hooks/{name}", argv=(name,), environment=(), timeout_seconds=7)
    for name in ("first", "second")
)
LAUNCH = msgspec.structs.replace(
    PLAIN,
    mounts=(*PLAIN.mounts, MountSpec(fstype="tmpfs", source="mine", target="/volume")),
    create_hooks=HOOKS,
    start_hooks=HOOKS,
    wait_for_start=True,
)


def plan_of(launch: LaunchSpec) -> s.LaunchPlan:
    return compile_plan(
        launch, seccomp=None, last_capability=40, foreground=False, wait_for_cgroup=False
    )


def failed(plan: s.LaunchPlan, place: int, number: int, **more: object) -> Report:
    return Report(kind=FAILED, step=place, errno=number, sets=NO_SETS, **{"message": "", **more})


def place_of(plan: s.LaunchPlan, kind: type[s.Step], number: int = 0) -> int:
    return [i for i, step in enumerate(plan.steps) if isinstance(step, kind)][number]


def words(launch: LaunchSpec, kind: type[s.Step], number: int, at: int = 0, **more: object) -> str:
    plan = plan_of(launch)
    return oci_words(plan, failed(plan, place_of(plan, kind, at), number, **more))


def running(name: str) -> LaunchSpec:
    candidates = (name,) if "/" in name else (f"/bin/{name}", f"/usr/bin/{name}")
    process = msgspec.structs.replace(PLAIN.process, argv=(name,), candidates=candidates)
    return msgspec.structs.replace(LAUNCH, process=process)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize(
    ("name", "number", "said"),
    [
        ("tool", errno.ENOENT, 'exec: "tool": executable file not found in $PATH'),
        ("tool", errno.EACCES, 'exec: "tool": executable file not found in $PATH'),
        ("/a/tool", errno.ENOENT, 'exec: "/a/tool": stat /a/tool: no such file or directory'),
        ("/a/tool", errno.EACCES, 'exec: "/a/tool": permission denied'),
        ("/a", errno.EISDIR, 'exec: "/a": is a directory'),
    ],
)
def test_a_program_that_is_missing_is_told_from_one_that_may_not_run(name, number, said, wait):
    launch = msgspec.structs.replace(running(name), wait_for_start=wait)
    assert words(launch, s.FindProgram if wait else s.Exec, number) == said


def test_what_fails_after_the_program_was_found_is_its_format_or_interpreter():
    assert words(running("/a"), s.Exec, errno.ENOEXEC) == "exec /a: exec format error"
    assert words(running("/a"), s.Exec, errno.ENOENT) == "exec /a: no such file or directory"


@pytest.mark.parametrize(
    ("kind", "number", "said"),
    [
        (s.ChangeDirectory, errno.ENOENT, 'chdir to cwd ("/") set in config.json failed: no such'),
        (s.ChangeDirectory, errno.EXDEV, "current working directory is outside of container"),
        (s.MakeDirectories, errno.ENOTDIR, "mkdir /: not a directory"),
        (s.ProcWrite, errno.EINVAL, "write sysctl key net.ipv4.ip_forward: invalid argument"),
        (s.Capset, errno.EPERM, "unable to apply caps: operation not permitted"),
        (s.Session, errno.EPERM, "start a session without a terminal: operation not permitted"),
    ],
)
def test_other_failures_have_the_words_of_runc_or_our_own(kind, number, said):
    assert words(LAUNCH, kind, number).startswith(said)


def test_a_mount_is_named_by_its_source_and_target():
    plan = plan_of(LAUNCH)
    volume = next(
        i
        for i, x in enumerate(plan.steps)
        if isinstance(x, s.NewFs) and ("source", "mine") in x.options
    )
    report = failed(plan, volume, errno.EINVAL, message="bad option")
    said = 'error mounting "mine" to rootfs at "/volume": invalid argument: bad option'
    assert oci_words(plan, report) == said
    attach = volume + 1
    assert oci_words(plan, failed(plan, attach, errno.ENOTDIR)) == (
        'error mounting "mine" to rootfs at "/volume": not a directory'
    )
    data = next(i for i, x in enumerate(plan.steps) if getattr(x, "path", "") == "/srv/data")
    assert oci_words(plan, failed(plan, data, errno.ENOENT)) == (
        'error mounting "/srv/data" to rootfs at "/data": no such file or directory'
    )


@pytest.mark.parametrize(
    ("number", "values", "end"),
    [
        (errno.ECHILD, (1, 3), "exit status 3"),
        (errno.ECHILD, (2, 9), "signal: killed"),
        (errno.ETIMEDOUT, (0, 0), "hook ran past specified timeout of 7s"),
        (errno.ENOENT, (0, 0), "fork/exec /hooks/second: no such file or directory"),
    ],
)
def test_a_hook_is_named_by_its_kind_and_number(number, values, end):
    said = words(LAUNCH, s.Hook, number, at=1, values=values, message="why")
    assert said == f"error running createContainer hook #1: {end}, stdout: , stderr: why"


def test_a_hook_that_failed_is_explained_to_people_too():
    plan = plan_of(LAUNCH)
    place = place_of(plan, s.Hook, 3)
    error = explain(plan, failed(plan, place, errno.ECHILD, values=(1, 3), message="why"))
    assert error.what == "the startContainer hook /hooks/second failed"
    assert error.cause == "it ended with exit status 3; it said: why"
    late = explain(plan, failed(plan, place, errno.ETIMEDOUT))
    assert "7 seconds" in late.cause


def test_a_program_that_is_not_found_before_the_start_has_its_own_class():
    plan = plan_of(LAUNCH)
    place = place_of(plan, s.FindProgram)
    assert type(explain(plan, failed(plan, place, errno.ENOENT))) is ProgramNotFound
    assert type(explain(plan, failed(plan, place, errno.EISDIR))) is ProgramNotInvokable


def test_a_refused_plan_has_words_as_well():
    plan = plan_of(LAUNCH)
    assert "launch plan was refused" in oci_words(plan, failed(plan, -1, errno.EBADMSG))
    assert isinstance(explain(plan, failed(plan, -1, errno.EBADMSG)), LaunchError)
