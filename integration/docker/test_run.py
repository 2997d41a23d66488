"""`docker run`: what a container's program gets, and what the caller gets back."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.engines.dockerd import DEBUGGING, IMAGE


def test_output_error_and_status_reach_the_caller(docker):
    done = docker.run(IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.status, done.out, done.err) == (7, "out\n", "err\n")


def test_standard_input_reaches_the_program(docker):
    assert docker.run("-i", IMAGE, "cat", stdin="typed").out == "typed"


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [
        ("nothing-here", 127, "executable file not found"),
        ("/etc/data", 126, "permission denied"),
    ],
)
def test_a_program_that_cannot_start_has_dockers_status(docker, program, status, words):
    if docker.runtime.name == "crun":
        pytest.skip("docker does not know crun's words for it")
    done = docker.run(IMAGE, program, check=False)
    assert done.status == status, done
    assert words in done.err


def test_a_signal_that_ends_the_program_is_in_its_status(docker):
    assert docker.run(IMAGE, "sh", "-c", "sh -c 'kill -9 $$'; exit $?", check=False).status == 137


def test_removed_at_its_end(docker):
    docker.run("--name=short", IMAGE, "true")
    assert docker("ps", "--all", "--quiet").out == ""


def test_a_terminal_is_a_real_one(docker, terminal):
    person = terminal("run", "-it", "--rm", "--network=none", IMAGE, "sh")
    person.type("tty\n")
    person.read_until(r"\n/dev/pts/0\r")
    # The client tells the size only after the start.
    for rows, columns in ((33, 101), (40, 120)):
        person.resize(rows, columns)
        person.type(f"until stty size 2>&1 | grep '^{rows} {columns}'; do :; done\n")
        person.read_until(rf"\n{rows} {columns}\r")
    person.type("ls -l /dev/console; exit 3\n")
    person.read_until(r"crw.* /dev/console")
    assert person.end() == 3


def test_ctrl_c_ends_what_runs_in_the_foreground(terminal):
    person = terminal("run", "-it", "--rm", "--network=none", IMAGE, "sh")
    person.type("echo go; sleep 1000; echo status $?\n")
    person.read_until("\ngo")
    person.type("\x03")
    person.type("echo $((40 + 2)); exit\n")
    person.read_until(r"\n42")
    assert person.end() == 0


def test_environment_directory_and_name(docker):
    flags = ("-e", "COLOUR=blue", "-w", "/made/here", "--hostname=box", "--domainname=example.org")
    done = docker.run(*flags, IMAGE, "sh", "-c", "echo $COLOUR; pwd; hostname")
    assert done.words == ["blue", "/made/here", "box"]


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        (["-u", "1000:50"], "uid=1000(worker) gid=50(staff) groups=50(staff)"),
        (["-u", "worker"], "uid=1000(worker) gid=1000(worker) groups=1000(worker)"),
        (
            ["-u", "worker", "--group-add=staff"],
            "uid=1000(worker) gid=1000(worker) groups=50(staff),1000(worker)",
        ),
        (["-u", "4711"], "uid=4711 gid=0(root) groups=0(root)"),
    ],
)
def test_user(docker, flags, answer):
    assert docker.run(*flags, IMAGE, "id").out.strip() == answer


def test_init_is_the_first_process_and_reaps(docker):
    script = "cat /proc/1/comm; (true &); readlink /proc/$$/exe"
    done = docker.run("--init", IMAGE, "sh", "-c", script)
    assert done.words == ["docker-init", "/bin/busybox"]


def test_read_only(docker):
    script = "touch /file || echo refused; touch /scratch/file && echo written"
    done = docker.run("--read-only", "--tmpfs=/scratch", IMAGE, "sh", "-c", script)
    assert done.words == ["refused", "written"]
    assert "Read-only file system" in done.err


def test_tmpfs_with_options(docker):
    flag = "--tmpfs=/scratch:rw,noexec,size=65536k,mode=1770"
    done = docker.run(flag, IMAGE, "grep", " /scratch ", "/proc/mounts")
    place, options = done.out.split()[2:4]
    assert place == "tmpfs"
    assert {"rw", "noexec", "size=65536k", "mode=1770"} <= set(options.split(","))


def test_volumes_writable_and_read_only(docker, tmp_path):
    (tmp_path / "given").write_text("from outside\n")
    script = "cat /in/given; echo back >/out/result; touch /in/refused || echo refused"
    done = docker.run(f"-v={tmp_path}:/in:ro", f"-v={tmp_path}:/out", IMAGE, "sh", "-c", script)
    assert done.out == "from outside\nrefused\n"
    assert (tmp_path / "result").read_text() == "back\n"


def test_a_file_and_a_named_volume(docker, tmp_path):
    file = tmp_path / "file"
    file.write_text("one file\n")
    flags = (f"-v={file}:/etc/given:ro", "-v=kept:/kept")
    assert docker.run(*flags, IMAGE, "sh", "-c", "cat /etc/given | tee /kept/copy").status == 0
    assert docker.run("-v=kept:/kept:ro", IMAGE, "cat", "/kept/copy").out == "one file\n"
    docker("volume", "rm", "kept")


def test_mounts_by_their_long_flag(docker, tmp_path):
    (tmp_path / "given").write_text("given\n")
    flags = (
        f"--mount=type=bind,source={tmp_path},target=/in,readonly",
        "--mount=type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=0700",
    )
    script = "cat /in/given; stat -c %a /x; touch /in/no 2>/dev/null || echo refused"
    assert docker.run(*flags, IMAGE, "sh", "-c", script).words == ["given", "700", "refused"]


def test_a_volume_below_a_link_of_the_image_stays_inside(docker, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN ln -s ../../../../tmp /escape\n")
    docker("build", "--network=none", "--tag=linked:1", tmp_path)
    flag = f"-v={tmp_path}:/escape/below"
    assert "Dockerfile" in docker.run(flag, "linked:1", "ls", "/tmp/below").words
    assert not Path("/tmp/below").exists()
    docker("rmi", "linked:1")


def test_long_arguments_and_environments(docker):
    words = [f"word-{number}" for number in range(3000)]
    variables = [f"--env=V{number}={'x' * 100}" for number in range(300)]
    done = docker.run(*variables, IMAGE, "sh", "-c", 'env | grep -c ^V; echo "$@"', "sh", *words)
    assert done.words == ["300", *words]


def test_a_shared_volume_takes_later_mounts(docker, tmp_path):
    script = "until grep -q ' /in/later ' /proc/mounts; do sleep 0.02; done; cat /in/later/file"
    (tmp_path / "later").mkdir()
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_text("arrived\n")
    name = docker.start(f"-v={tmp_path}:/in:rslave", IMAGE, "sh", "-c", script)
    docker.enclosure.run("mount", "--bind", tmp_path / "source", tmp_path / "later")
    try:
        assert docker("wait", name).out == "0\n"
        assert docker("logs", name).out == "arrived\n"
    finally:
        docker.enclosure.run("umount", tmp_path / "later")


def test_device(docker):
    flag = "--device=/dev/loop-control:/dev/given:r"
    script = "(: </dev/given) && echo opened; (: >/dev/given) || echo refused"
    assert docker.run(flag, IMAGE, "sh", "-c", script).words == ["opened", "refused"]


def test_a_device_that_was_not_given_cannot_be_opened(docker):
    script = "mknod /dev/mem c 1 1 && head -c 1 /dev/mem"
    done = docker.run(IMAGE, "sh", "-c", script, check=False)
    assert done.status == 1
    assert "Operation not permitted" in done.err


def test_ulimit(docker):
    flags = ("--ulimit=nofile=100:200", "--ulimit=core=0")
    script = "ulimit -Sn; ulimit -Hn; ulimit -c"
    assert docker.run(*flags, IMAGE, "sh", "-c", script).words == ["100", "200", "0"]


def test_sysctl_and_size_of_shm(docker):
    flags = ("--sysctl=net.ipv4.ip_forward=1", "--sysctl=kernel.msgmax=12345", "--shm-size=8m")
    script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax; df -k /dev/shm | tail -1"
    assert docker.run(*flags, IMAGE, "sh", "-c", script).words[:4] == ["1", "12345", "shm", "8192"]


def test_a_runtime_with_arguments(docker):
    name = docker.start(f"--runtime={DEBUGGING}", IMAGE, "sleep", "1000")
    assert docker.inspect(name)["HostConfig"]["Runtime"] == DEBUGGING
    assert '"level":"debug"' in docker.log(name)


def test_generated_files_are_there(docker):
    done = docker.run("--add-host=peer:10.1.2.3", "--hostname=box", IMAGE, "cat", "/etc/hosts")
    assert "10.1.2.3\tpeer" in done.out
    assert docker.run("--hostname=box", IMAGE, "cat", "/etc/hostname").out == "box\n"
