"""Steps that really fail: the error names the step, the kernel's reason and what to try."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nestbox.errors import LaunchError, ProgramNotFound, ProgramNotInvokable
from nestbox.executor.encode import encode
from nestbox.plan import steps as s
from nestbox.runtime.launch import Conversation

pytestmark = pytest.mark.root

NEW = s.SLOT_NEW
PREPARED = (
    s.Propagation(propagation="slave"),
    s.NewFs(slot=s.SLOT_SCRATCH, fstype="tmpfs", options=(("mode", "0755"),)),
    s.AttachRoot(slot=s.SLOT_SCRATCH),
    s.MakeDirectory(base=s.SLOT_SCRATCH, name="empty", mode=0o555),
    s.OpenTree(slot=s.SLOT_NULL, path="/dev/null", kind="c", major=1, minor=3),
)
TMPFS = s.NewFs(slot=NEW, fstype="tmpfs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root of directories, a file and links that lead nowhere good."""
    directory = tmp_path / "root"
    for name in ("proc", "dir", "bin"):
        (directory / name).mkdir(parents=True)
    (directory / "file").touch()
    (directory / "bin/text").write_text("neither a program nor a script")
    (directory / "bin/text").chmod(0o755)
    (directory / "bin/closed").touch(mode=0o644)
    (directory / "loop").symlink_to("loop")
    (directory / "dangling").symlink_to("/nowhere/at/all")
    (directory / "away").symlink_to(tmp_path)
    (directory / "to-proc").symlink_to("/proc")
    return directory


def failure(steps: tuple[s.Step, ...]) -> LaunchError:
    """Return the error of a plan of these steps in namespaces of its own."""
    plan = s.LaunchPlan(namespaces=("mnt", "pid", "ipc", "uts", "net"), steps=steps)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        conversation = Conversation(plan, encode(plan), stdio=(null, null, null))
        with pytest.raises(LaunchError) as caught:
            conversation.finish(lambda reason, pid: None)
    finally:
        os.close(null)
    return caught.value


def in_root(root: Path, *steps: s.Step, attributes: tuple[str, ...] = ()) -> tuple[s.Step, ...]:
    """Return a plan that does something in a root with a proc mount."""
    return (
        *PREPARED,
        s.OpenTree(slot=s.SLOT_ROOT, path=str(root)),
        s.SetAttr(slot=s.SLOT_ROOT, attributes=attributes, propagation="private"),
        s.AttachRoot(slot=s.SLOT_ROOT),
        s.NewFs(slot=s.SLOT_PROC, fstype="proc"),
        s.Attach(slot=s.SLOT_PROC, target="/proc", how=s.TARGET_ON_PROC),
        *steps,
    )


def attach(target: str, how: int = s.TARGET_MAKE) -> tuple[s.Step, ...]:
    return TMPFS, s.Attach(slot=NEW, target=target, how=how)


def execute(path: str) -> tuple[s.Step, ...]:
    return s.Pivot(), s.Exec(argv=(path,), environment=(), candidates=(path,))


FAILURES: dict[str, tuple[tuple[s.Step, ...], int, tuple[str, ...]]] = {
    "a link in the place of an own mount": (
        attach("/away", s.TARGET_NO_SYMLINKS),
        errno.ELOOP,
        ("attach it at /away", "symbolic link"),
    ),
    "a loop of links": (attach("/loop/x"), errno.ELOOP, ("/loop/x", "symbolic link")),
    "a link to proc": (attach("/to-proc/sys"), errno.EXDEV, ("/to-proc/sys", "proc file system")),
    "a magic link": (attach("/proc/self/root/dir"), errno.ELOOP, ("/proc/self/root/dir",)),
    "a file in the way": (attach("/file/x"), errno.ENOTDIR, ("/file/x", "not a directory")),
    "a directory over a file": (attach("/file"), errno.ENOTDIR, ("/file", "not a directory")),
    "a target that is not made": (attach("/new", 0), errno.ENOENT, ("/new",)),
    "a source that is missing": (
        (s.OpenTree(slot=NEW, path="/no/such/source"),),
        errno.ENOENT,
        ("/no/such/source", "no such file"),
    ),
    "a device that was replaced": (
        (s.OpenTree(slot=NEW, path="/dev/null", kind="c", major=1, minor=5),),
        errno.ENODEV,
        ("/dev/null", "another file"),
    ),
    "a file in the place of a device": (
        (s.OpenTree(slot=NEW, path="/etc/passwd", kind="c", major=1, minor=3),),
        errno.ENODEV,
        ("/etc/passwd", "another file"),
    ),
    "an unknown file system": (
        (s.NewFs(slot=NEW, fstype="nosuchfs"),),
        errno.ENODEV,
        ("nosuchfs", "does not have this file system"),
    ),
    "an option that is refused": (
        (s.NewFs(slot=NEW, fstype="tmpfs", options=(("nonsense", "1"),)),),
        errno.EINVAL,
        ("nonsense", "the kernel says: e tmpfs: Unknown parameter 'nonsense'"),
    ),
    "a sysctl that does not exist": (
        (s.ProcWrite(path="sys/no/such/name", value="1"),),
        errno.ENOENT,
        ("sys/no/such/name", "no such file"),
    ),
    "a sysctl value that is refused": (
        (s.ProcWrite(path="sys/net/ipv4/ip_forward", value="many"),),
        errno.EINVAL,
        ("'many'", "refuses the value"),
    ),
    "a sysctl that leads out of proc": (
        (s.ProcWrite(path="sys/../../etc/passwd", value="x"),),
        errno.EXDEV,
        ("sys/../../etc/passwd",),
    ),
    "a name with a slash": (
        (s.MakeDirectory(base=s.SLOT_SCRATCH, name="../x", mode=0o755),),
        errno.EINVAL,
        ("make directory ../x",),
    ),
    "a directory below a file": (
        (s.MakeDirectories(path="/file/x", mode=0o755),),
        errno.ENOTDIR,
        ("/file/x", "a file is in its way"),
    ),
    "a host name that is too long": (
        (s.Hostname(name="x" * 65),),
        errno.EINVAL,
        ("set the host name",),
    ),
    "a slot that is empty": ((s.EnterDirectory(slot=s.SLOT_UPPER),), errno.EBADF, ("upper",)),
    "a filter that is none": (
        (s.NoNewPrivs(), s.LoadSeccomp(program=b"\xff" * 8)),
        errno.EINVAL,
        ("seccomp filter", "check the seccomp profile"),
    ),
    "sets that differ": (
        (s.Verify(inheritable=1, permitted=0, effective=0, bounding=0, ambient=0, last=40),),
        errno.EBADE,
        ("read the capability sets back", "not those that were planned"),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_names_the_step_the_reason_and_a_remedy(root, name):
    steps, number, words = FAILURES[name]
    error = failure(in_root(root, *steps))
    shown = str(error)
    assert errno.errorcode[number] in error.cause
    assert all(word in shown for word in words), shown
    assert error.remedy
    assert "step " in error.what


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (attach("/new"), "the root is read-only"),
        ((s.MakeDirectories(path="/new", mode=0o755),), "the root is read-only"),
    ],
)
def test_a_read_only_root_without_the_target_is_named(root, steps, words):
    error = failure(in_root(root, *steps, attributes=("ro",)))
    assert errno.errorcode[errno.EROFS] in error.cause
    assert words in error.cause


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/bin/none", ProgramNotFound, "executable file not found"),
        ("/file/none", ProgramNotFound, "executable file not found"),
        ("/bin/closed", ProgramNotInvokable, "execute bit"),
        ("/bin", ProgramNotInvokable, "execute bit"),
        ("/bin/text", ProgramNotInvokable, "#! line"),
    ],
)
def test_a_program_that_cannot_be_executed_is_told_apart(root, path, kind, words):
    error = failure(in_root(root, *execute(path)))
    assert type(error) is kind
    assert words in str(error)


def test_a_working_directory_outside_of_the_root_is_refused(root):
    """Descriptor 0 stands for one that leads outside: a directory that the caller had open."""
    plan = s.LaunchPlan(
        namespaces=("mnt", "pid"),
        steps=in_root(root, s.Pivot(), s.ChangeDirectory(path="/proc/self/fd/0")),
    )
    outside = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        conversation = Conversation(plan, encode(plan), stdio=(outside, null, null))
        with pytest.raises(LaunchError, match="outside the root"):
            conversation.finish(lambda reason, pid: None)
    finally:
        os.close(outside)
        os.close(null)


def test_a_root_that_is_covered_is_not_entered(root):
    """A volume whose target is a link to / would lie between the container and its root."""
    (root / "slash").symlink_to("/")
    error = failure(in_root(root, *attach("/slash"), s.Pivot()))
    assert errno.errorcode[errno.EXDEV] in error.cause
    assert "pivot" in error.what


def test_the_other_side_that_goes_away_ends_the_executor(root):
    plan = s.LaunchPlan(namespaces=("pid",), steps=(s.Sync(reason="forever"),))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def stop(reason: str, pid: int) -> None:
        raise KeyError(reason)

    answer: Callable[[str, int], None] = stop
    try:
        conversation = Conversation(plan, encode(plan), stdio=(null, null, null))
        with pytest.raises(KeyError, match="forever"):
            conversation.finish(answer)
    finally:
        os.close(null)
    assert not Path(f"/proc/{conversation.pid}").exists()
