"""`ctr`: the plainest caller of a runtime that containerd has."""

from __future__ import annotations

import json

import pytest

from integration.engines import nestbox
from integration.engines.waiting import wait_until


def test_output_error_and_status_reach_the_caller(ctr):
    done = ctr.run(program=("sh", "-c", "echo out; echo err >&2; exit 7"), check=False)
    assert (done.status, done.out, done.err) == (7, "out\n", "err\n")


def test_a_program_that_is_not_there(ctr):
    done = ctr.run(program=("nothing-here",), check=False)
    assert done.status == 1
    assert 'exec: "nothing-here": executable file not found' in done.err


def test_a_terminal_is_a_real_one(ctr):
    person = ctr.terminal(*ctr.words("--rm", "--tty", name="person", program=("sh",)))
    try:
        person.type("tty\n")
        person.read_until(r"/dev/pts/0\r")
        person.type("until stty size 2>&1 | grep '^33 101'; do :; done\n")
        person.read_until(r"\n33 101\r")
        person.type("exit 4\n")
        assert person.end() == 4
    finally:
        person.close()


def test_exec(ctr):
    name = ctr.start("--env=COLOUR=blue")
    done = ctr.exec(name, "sh", "-c", "echo $COLOUR; exit 9", check=False)
    assert (done.status, done.out) == (9, "blue\n")


def test_exec_on_a_terminal(ctr):
    name = ctr.start()
    person = ctr.terminal("tasks", "exec", "--tty", "--exec-id=person", name, "sh")
    try:
        person.type("tty; exit 4\n")
        person.read_until(r"/dev/pts/0\r")
        assert person.end() == 4
    finally:
        person.close()


@pytest.mark.parametrize(("signal", "told"), [("SIGUSR1", "USR1"), ("12", "USR2")])
def test_kill(ctr, tmp_path, signal, told):
    script = f"trap 'echo told >/out/told; exit 0' {told}; echo >/out/ready; while :; do :; done"
    mount = f"--mount=type=bind,src={tmp_path},dst=/out,options=rbind:rw"
    name = ctr.start(mount, program=("sh", "-c", script))
    wait_until((tmp_path / "ready").exists, "the program is ready")
    ctr("tasks", "kill", f"--signal={signal}", name)
    wait_until(lambda: ctr.status(name) == "STOPPED", "it ends")
    assert (tmp_path / "told").read_text() == "told\n"


def test_kill_of_all_processes(ctr):
    name = ctr.start(program=("sh", "-c", "sleep 1122 & sleep 1122"))
    wait_until(lambda: len(ctr("tasks", "ps", name).out.splitlines()) >= 3, "two processes")
    ctr("tasks", "kill", "--all", "--signal=KILL", name)
    wait_until(lambda: ctr.status(name) == "STOPPED", "it ends")
    assert " sleep 1122\n" not in ctr.enclosure.run("ps", "axo", "pid,args").out


def test_pause_and_resume(ctr):
    name = ctr.start()
    ctr("tasks", "pause", name)
    assert ctr.status(name) == "PAUSED"
    ctr("tasks", "resume", name)
    assert ctr.status(name) == "RUNNING"


def test_metrics(ctr):
    name = ctr.start("--memory-limit=67108864")
    metrics = json.loads(ctr("tasks", "metrics", "--format=json", name).out)
    assert metrics["memory"]["usage"]["limit"] == 67108864
    assert metrics["pids"]["current"] == 1


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), "00000000a80425fb"),
        (("--cap-add=CAP_NET_ADMIN",), "00000000a80435fb"),
        (("--cap-drop=CAP_MKNOD",), "00000000a00425fb"),
    ],
)
def test_capabilities(ctr, flags, expected):
    words = ctr.run(*flags, program=("grep", "-E", "CapBnd|CapEff", "/proc/self/status")).words
    assert words == ["CapEff:", expected, "CapBnd:", expected]


@pytest.mark.parametrize(
    ("flags", "script", "answer"),
    [
        (("--cwd=/etc",), "pwd", "/etc\n"),
        (("--read-only",), "touch /new 2>/dev/null || echo refused", "refused\n"),
        (("--env=COLOUR=blue",), "echo $COLOUR", "blue\n"),
        (("--device=/dev/loop-control",), "ls /dev/loop-control", "/dev/loop-control\n"),
        (("--cpu-shares=512",), "echo $$", "1\n"),
        (("--allow-new-privs",), "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0\n"),
        (("--seccomp",), "grep Seccomp: /proc/self/status", "Seccomp:\t2\n"),
    ],
)  # fmt: skip
def test_flags(ctr, flags, script, answer):
    assert ctr.run(*flags, program=("sh", "-c", script)).out == answer


def test_a_root_directory_without_an_image(ctr, root):
    words = ["run", "--rm", f"--runc-binary={ctr.containerd.runtime.path}", "--rootfs", str(root)]
    assert ctr(*words, "from-directory", "/bin/echo", "here").out == "here\n"


def test_a_namespace_by_path(ctr):
    first = ctr.start()
    pid = next(line.split()[1] for line in ctr("tasks", "list").out.splitlines() if first in line)
    show = ("readlink", "/proc/self/ns/uts")
    joined = ctr.run(f"--with-ns=uts:/proc/{pid}/ns/uts", program=show).out
    assert joined == ctr.exec(first, *show).out


def test_a_deleted_task_leaves_nothing(ctr, containerd):
    name = ctr.start()
    runtime_root = "/run/containerd/runc/default"
    find = ("find", "/run/containerd", "/sys/fs/cgroup", "-name", name)
    assert ctr.enclosure.run(*find).out
    assert name in ctr.enclosure.run("ls", runtime_root).words
    ctr("tasks", "delete", "--force", name)
    ctr("containers", "delete", name)
    assert ctr.enclosure.run(*find).out == ""


class TestMissing:
    """Where something is missing, a peer fails and nestbox starts."""

    @pytest.fixture(autouse=True)
    def _only_nestbox(self, engine_runtime):
        if not engine_runtime.is_nestbox:
            pytest.skip(f"{engine_runtime.name} fails without CAP_SYS_RESOURCE (test_headline.py)")

    def test_privileged(self, ctr):
        script = "mount -t tmpfs x /mnt && echo mounted"
        assert ctr.run("--privileged", program=("sh", "-c", script)).out == "mounted\n"

    def test_a_capability_is_explained(self, ctr):
        name = ctr.start("--cap-add=CAP_NET_ADMIN")
        assert "CAP_NET_ADMIN" in nestbox.explain(ctr.enclosure, name, "CAP_NET_ADMIN")

    def test_the_strict_annotation_refuses(self, ctr):
        flags = ("--annotation=org.nestbox.strict=true", "--cap-add=CAP_63")
        done = ctr.run(*flags, program=("true",), check=False)
        assert done.status == 1
        assert "CAP_63" in done.err
