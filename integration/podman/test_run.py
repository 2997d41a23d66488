"""`podman run` and `podman exec`: conmon stands between the engine and the runtime."""

from __future__ import annotations

import pytest

from integration.engines.images import NAME

DEFAULT = "00000000a80425fb"


def test_output_error_and_status_reach_the_caller(podman):
    done = podman.run(NAME, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.status, done.out, done.err) == (7, "out\n", "err\n")


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [
        ("nothing-here", 127, "executable file `nothing-here` not found"),
        ("/etc/data", 126, "ermission denied"),
    ],
)
def test_a_program_that_cannot_start_has_podmans_status(podman, program, status, words):
    done = podman.run(NAME, program, check=False)
    assert done.status == status, done
    assert words.replace("`", '"') in done.err.replace("`", '"') or "not found" in done.err


def test_standard_input_reaches_the_program(podman):
    assert podman.run("-i", NAME, "cat", stdin="typed").out == "typed"


def test_a_terminal_is_a_real_one(terminal):
    person = terminal("run", "-it", "--rm", "--network=none", NAME, "sh")
    person.type("tty\n")
    person.read_until(r"\n/dev/pts/0\r")
    for rows, columns in ((33, 101), (40, 120)):
        person.resize(rows, columns)
        person.type(f"until stty size 2>&1 | grep '^{rows} {columns}'; do :; done\n")
        person.read_until(rf"\n{rows} {columns}\r")
    person.type("exit 3\n")
    assert person.end() == 3


def test_exec_on_a_terminal(podman, terminal):
    name = podman.start(NAME, "sleep", "1000")
    person = terminal("exec", "-it", name, "sh")
    person.type("tty\n")
    person.read_until(r"\n/dev/pts/\d+\r")
    person.type("exit 5\n")
    assert person.end() == 5


def test_exec_with_user_environment_and_directory(podman):
    name = podman.start("-e", "GIVEN=before", NAME, "sleep", "1000")
    flags = ("-e", "ADDED=now", "-w", "/etc", "-u", "worker")
    done = podman("exec", *flags, name, "sh", "-c", "echo $GIVEN $ADDED; pwd; id -un; exit 4",
                  check=False)  # fmt: skip
    assert (done.status, done.words) == (4, ["before", "now", "/etc", "worker"])


def test_exec_of_a_program_that_is_not_there(podman):
    name = podman.start(NAME, "sleep", "1000")
    assert podman("exec", name, "nothing-here", check=False).status == 127
    assert podman("exec", name, "/etc/data", check=False).status == 126


def test_exec_in_the_background(podman):
    name = podman.start(NAME, "sleep", "1000")
    podman("exec", "-d", name, "sh", "-c", "mkfifo /tmp/fifo; echo ready >/tmp/fifo")
    done = podman("exec", name, "sh", "-c", "until [ -p /tmp/fifo ]; do :; done; cat /tmp/fifo")
    assert done.out == "ready\n"


@pytest.mark.parametrize(
    ("flags", "script", "answer"),
    [
        (["--hostname=box"], "hostname", "box\n"),
        (["-w", "/etc", "-e", "A=b"], "pwd; echo $A", "/etc\nb\n"),
        (["-u", "worker"], "id", "uid=1000(worker) gid=1000(worker) groups=1000(worker)\n"),
        (["--read-only"], "touch /new 2>/dev/null || echo refused", "refused\n"),
        (["--read-only"], "touch /tmp/new && echo written", "written\n"),
        (["--tmpfs=/x:size=4m"], "df -k /x | tail -1 | tr -s ' ' | cut -d' ' -f2", "4096\n"),
        (["--init", "--init-path=/usr/bin/tini-static"], "cat /proc/1/comm", "podman-init\n"),
        (["--ulimit=nofile=100:200", "--ulimit=nproc=50:60"], "ulimit -n; ulimit -Hu", "100\n60\n"),
        (["--sysctl=net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward", "1\n"),
        (["--device=/dev/loop-control:/dev/x"], "ls /dev/x", "/dev/x\n"),
        (["--security-opt=no-new-privileges"], "grep NoNew /proc/self/status", "NoNewPrivs:\t1\n"),
        (["--security-opt=seccomp=unconfined"], "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"),
        (["--cap-drop=all"], "grep CapBnd /proc/self/status", f"CapBnd:\t{0:016x}\n"),
        (["--umask=0027"], "umask", "0027\n"),
        (["--shm-size=8m"], "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2", "8192\n"),
        (["--uidmap=0:100000:65536"], "cat /proc/self/uid_map | tr -s ' '", " 0 100000 65536\n"),
    ],
)
def test_flags(podman, flags, script, answer):
    assert podman.run(*flags, NAME, "sh", "-c", script).out == answer


@pytest.mark.parametrize(
    ("flags", "script", "answer"),
    [
        (["--security-opt=mask=/proc/version"], "wc -c </proc/version", "0\n"),
        (["--security-opt=unmask=ALL"], "grep -c ' /proc/' /proc/mounts", "0\n"),
        (["--oom-score-adj=100"], "cat /proc/self/oom_score_adj", "100\n"),
    ],
)
def test_more_flags(podman, flags, script, answer):
    assert podman.run(*flags, NAME, "sh", "-c", f"{script} || true").out == answer


@pytest.mark.parametrize("flags", [("run", "--rm", "--network=none", NAME), ("exec", "given")])
def test_descriptors_are_handed_over(podman, tmp_path, flags):
    (tmp_path / "given").write_text("given\n")
    podman.start("--name=given", NAME, "sleep", "1000")
    command = (flags[0], "--preserve-fds=1", *flags[1:], "sh", "-c", "cat <&3")
    script = f'exec 3<{tmp_path}/given; exec podman "$@"'
    variables = podman.variables
    assert podman.enclosure.run("sh", "-c", script, "sh", *command, **variables).out == "given\n"


def test_personality(podman, engine_runtime):
    if engine_runtime.name == "runc":
        pytest.skip("Debian's runc has no personality")
    assert podman.run("--personality=LINUX32", NAME, "uname", "-m").out == "i686\n"


def test_a_volume_with_mapped_ids(podman, enclosure, engine_runtime):
    if engine_runtime.name == "runc":
        pytest.skip("Debian's runc has no id-mapped mounts")
    volume = enclosure.place / "mapped"
    volume.mkdir()
    (volume / "given").write_text("given\n")
    flags = ("--uidmap=0:100000:65536", f"-v={volume}:/in:idmap")
    script = "stat -c %u /in/given; touch /in/made"
    assert podman.run(*flags, NAME, "sh", "-c", script).out == "0\n"
    assert (volume / "made").stat().st_uid == 0


def test_without_control_groups(podman, engine_runtime):
    if engine_runtime.name == "runc":
        pytest.skip("podman asks only crun and nestbox for this")
    inside = podman.run("--cgroups=disabled", NAME, "cat", "/proc/self/cgroup").out
    assert "libpod" not in inside


def test_privileged(podman):
    if not podman.runtime.is_nestbox:
        pytest.skip(f"{podman.runtime.name} fails without CAP_SYS_RESOURCE (test_headline.py)")
    script = "mount -t tmpfs x /mnt && grep CapEff /proc/self/status"
    here = podman.enclosure.run("grep", "CapEff", "/proc/self/status").out
    assert podman.run("--privileged", NAME, "sh", "-c", script).out == here
    name = podman.start(NAME, "sleep", "1000")
    show = (name, "grep", "CapEff", "/proc/self/status")
    assert podman("exec", "--privileged", *show).out == here


def test_capabilities(podman):
    show = (NAME, "grep", "-E", "CapBnd|CapAmb", "/proc/self/status")
    assert podman.run(*show).words == ["CapBnd:", DEFAULT, "CapAmb:", "0" * 16]
    more = "00000000a80435fb"
    assert podman.run("--cap-add=net_admin", *show).words[1] == more
    # What is asked for by name for another user is ambient.
    given = podman.run("--cap-add=net_admin", "-u=1000", *show).words
    assert given == ["CapBnd:", more, "CapAmb:", "0000000000001000"]


def test_volumes(podman, tmp_path):
    (tmp_path / "given").write_text("given\n")
    script = "cat /in/given; echo back >/out/back; touch /in/no 2>/dev/null || echo refused"
    flags = (f"-v={tmp_path}:/in:ro", f"-v={tmp_path}:/out", "-v=kept:/kept")
    assert podman.run(*flags, NAME, "sh", "-c", script).out == "given\nrefused\n"
    assert (tmp_path / "back").read_text() == "back\n"
    podman("volume", "rm", "kept")


@pytest.mark.parametrize("name", ["net", "ipc", "uts", "pid"])
def test_the_hosts_namespaces(podman, name):
    flag = "--network=host" if name == "net" else f"--{name}=host"
    done = podman("run", "--rm", flag, NAME, "readlink", f"/proc/self/ns/{name}")
    outside = podman.enclosure.run("readlink", f"/proc/self/ns/{name}")
    assert done.out == outside.out


def test_a_port_on_the_bridge(podman):
    script = "mkdir /www; echo served >/www/index.html; exec httpd -f -p 80 -h /www"
    flag = "--publish=127.0.0.1:8098:80"
    name = podman("run", "--detach", flag, NAME, "sh", "-c", script).out.strip()
    address = podman.inspect(name)["NetworkSettings"]["IPAddress"]
    fetch = f"until busybox wget -q -O- http://{address}/; do :; done"
    assert podman.enclosure.run("sh", "-c", fetch).out == "served\n"


def test_a_root_directory_in_place_of_an_image(podman, root):
    assert podman.run("--rootfs", f"{root}:O", "/bin/echo", "here").out == "here\n"


def test_attach(podman, terminal):
    name = podman("run", "-dit", "--network=none", NAME, "sh").out.strip()
    person = terminal("attach", name)
    person.type("echo $((6 * 7))\n")
    person.read_until(r"\n42\r")
    person.type("exit 6\n")
    person.end()
    assert podman.state(name)["ExitCode"] == 6
