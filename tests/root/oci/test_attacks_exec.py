"""A hostile container waits for the next exec: its /proc, its files, its names are what it likes.

Besides, what an exec is given: no more rights and descriptors than its options say.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess

import pytest

from nestbox.errors import StateError
from nestbox.runtime.oci.joining import HeldNamespaces
from nestbox.runtime.processes import Process, start_time
from tests.root.oci.test_config import in_user_namespace

pytestmark = pytest.mark.root

ALL_GONE = "descriptors 0,1,2\n"


def own(name):
    """Return which namespace of a kind we are in."""
    return os.stat(f"/proc/self/ns/{name}").st_ino


@pytest.fixture
def held():
    """Yield descriptors of directories of the host that a program of ours would inherit."""
    found = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(6)]
    for fd in found:
        os.set_inheritable(fd, True)
    yield found
    for fd in found:
        os.close(fd)


def give(bundle, *names):
    """Let the container have capabilities in three sets; return the bundle."""
    for kind in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"][kind] += names
    return bundle


# Whose namespaces, and which root.


def test_without_a_mount_namespace_an_exec_is_in_the_root_of_the_container(oci, bundle):
    bundle.namespaces(without=("mount",)).config["mounts"] = []
    name = oci.up(bundle)
    done = oci.exec(name, "ls", "/")
    assert sorted(done.stdout.split()) == sorted(os.listdir(bundle.rootfs)), done.stderr
    done = oci.exec(name, "ls", "/..", flags=("--cwd", "/tmp"))
    assert sorted(done.stdout.split()) == sorted(os.listdir(bundle.rootfs)), done.stderr


def test_without_pivot_root_an_exec_is_in_the_root_of_the_container(oci, bundle):
    name = oci.up(bundle, "--no-pivot")
    done = oci.exec(name, "ls", "/")
    assert sorted(done.stdout.split()) == sorted(os.listdir(bundle.rootfs)), done.stderr


def test_a_number_that_became_another_processs_is_not_entered():
    process = subprocess.Popen(["sleep", "1000"])
    try:
        start = start_time(process.pid)
        with pytest.raises(StateError, match="another process"):
            HeldNamespaces(Process(pid=process.pid, start=start - 1), ("net", "uts"))
        namespaces = HeldNamespaces(Process(pid=process.pid, start=start), ("net", "uts"))
    finally:
        process.kill()
        process.wait()
    # It is dead, and what was held is what it was.
    assert [os.fstat(fd).st_ino for fd in namespaces.descriptors] == [own("net"), own("uts")]
    namespaces.close()
    with pytest.raises(StateError):
        HeldNamespaces(Process(pid=process.pid, start=start), ("net",))


# Descriptors and working directories: CVE-2024-21626.


@pytest.mark.parametrize("flags", [(), ("--tty",)])
def test_directories_that_the_caller_holds_are_not_inherited_by_an_exec(oci, bundle, held, flags):
    name = oci.up(bundle)
    done = oci.exec(name, "probe", "descriptors", pass_fds=held)
    assert done.stdout == ALL_GONE


def test_directories_that_the_caller_holds_are_not_inherited_by_a_container(oci, bundle, held):
    done = oci.run(bundle.args("probe", "descriptors", "+", "cwd"), pass_fds=held)
    assert done.stdout == f"{ALL_GONE}cwd /\n"
    name = oci.create(bundle, pass_fds=held)
    oci.start(name, pass_fds=held)
    oci.wait(name)
    assert oci.output(name) == f"{ALL_GONE}cwd /\n"


@pytest.mark.parametrize("number", range(3, 16))
def test_no_descriptor_is_a_working_directory(oci, bundle, held, number):
    where = f"/proc/self/fd/{number}"
    bundle.process["cwd"] = where
    done = oci.run(bundle.args("probe", "cwd"), pass_fds=held)
    assert (done.exit_code, done.stdout) == (1, ""), done


def test_no_link_to_a_descriptor_is_a_working_directory_of_an_exec(oci, bundle):
    for number in range(3, 16):
        (bundle.rootfs / f"fd{number}").symlink_to(f"/proc/self/fd/{number}")
    name = oci.up(bundle)
    ways = [f"/fd{number}" for number in range(3, 16)] + ["/proc/self/fd/5", "/proc/1/root/fd7/.."]
    for way in ways:
        flags = ("--cwd", way, "--preserve-fds", "2")
        done = exec_with_directories(oci, name, flags)
        assert done.returncode != 0 or done.stdout in {"cwd /\n", "cwd /proc\n"}, done


def exec_with_directories(oci, name, flags):
    """Run an exec that is handed directories of the host as its descriptors 3 and 4."""
    words = oci.words("exec", *flags, name, "probe", "cwd")
    return subprocess.run(
        ["sh", "-c", 'exec 3</ 4</etc; exec "$@"', "sh", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_preserved_descriptors_are_those_and_no_other(oci, bundle, held):
    name = oci.up(bundle)
    words = oci.words("exec", "--preserve-fds", "2", name, "probe", "descriptors")
    script = 'exec 3</dev/null 4</dev/null 5</ 6</ 9</; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "descriptors 0,1,2,3,4\n", done.stderr


# The program of the host: CVE-2019-5736.


@pytest.mark.parametrize("evil", ["/proc/self/exe", "/bin/evil", "/bin/link"])
def test_the_executor_as_the_program_of_an_exec_is_a_copy_that_does_nothing(oci, bundle, evil):
    (bundle.rootfs / "bin/evil").write_text("#!/proc/self/exe\n")
    (bundle.rootfs / "bin/evil").chmod(0o755)
    (bundle.rootfs / "bin/link").symlink_to("/proc/self/exe")
    name = oci.up(bundle)
    done = oci.exec(name, evil)
    assert done.exit_code != 0
    assert "Traceback" not in done.stderr


def test_whoever_waits_for_an_exec_sees_no_program_of_the_host(oci, bundle, voice):
    """What the first process finds at /proc/PID/exe of everybody, over and over."""
    watcher = (
        "echo ready; while ! test -e /stop; do for p in /proc/[0-9]*; do"
        " l=$(readlink $p/exe) && case $l in /bin/*) ;; *) echo $l;; esac;"
        " (exec 3<>$p/exe) 2>/dev/null && echo WRITABLE; done; done; echo end"
    )
    give(bundle, "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")
    name = oci.up(bundle.shell(watcher), stdout=voice.writing)
    assert voice.line() == "ready"
    for _ in range(8):
        oci.exec(name, "true")
    (bundle.rootfs / "stop").touch()
    seen = set()
    while (line := voice.line()) != "end":
        seen.add(line)
    assert seen <= {"/memfd:nestbox-init (deleted)"}


# The process while it is on its way in: CVE-2016-9962.


def test_the_waiting_first_process_is_closed_to_an_exec_of_the_same_user(oci, bundle):
    name = oci.create(bundle)
    for file in ("mem", "environ", "maps", "fd/0", "cwd/", "root/", "exe"):
        done = oci.exec(name, "probe", "open", f"/proc/1/{file}")
        assert int(done.facts["open"]) in {errno.EACCES, errno.EPERM}, (file, done)


def test_in_a_user_namespace_the_waiting_first_process_is_closed_too(oci, bundle):
    name = oci.create(in_user_namespace(bundle))
    for file in ("mem", "environ", "fd/0", "root/"):
        done = oci.exec(name, "probe", "open", f"/proc/1/{file}")
        assert int(done.facts["open"]) in {errno.EACCES, errno.EPERM}, (file, done)


@pytest.mark.parametrize("user_namespace", [False, True])
def test_who_may_trace_the_waiting_first_process_finds_nothing_of_the_host(
    oci, bundle, user_namespace
):
    if user_namespace:
        in_user_namespace(bundle)
    name = oci.create(give(bundle, "CAP_SYS_PTRACE"), stdout=subprocess.DEVNULL)
    script = "cd /proc/1; for f in cwd root exe fd/*; do readlink $f; done"
    done = oci.exec(name, "sh", "-c", script)
    found = [link.split(":[")[0] for link in done.stdout.splitlines()]
    errors = str(oci.directory / f"{name}.stderr")
    own_streams = ["/dev/null", "/dev/null", errors]
    assert found == ["/", "/", "/memfd:nestbox-init (deleted)", *own_streams, "socket"], done
    sets = oci.exec(name, "grep", "-E", "^Cap(Prm|Eff)", "/proc/1/status").stdout.split()
    assert sets[1] == sets[3]
    assert int(sets[1], 16).bit_count() == len(bundle.process["capabilities"]["permitted"])


# Who an exec is: CVE-2016-3697, CVE-2026-30892.


@pytest.mark.parametrize(
    "user",
    [":", "root", "0x0", "-1", "+0", " 0", "0 ", "4294967295", "4294967296", "1:", "1:x",
     "1:2:3", "٣", "1e3", "1:-1", "18446744073709551616", "0\n", "1_0"],
)  # fmt: skip
def test_what_is_no_user_in_digits_is_refused(oci, bundle, user):
    name = oci.up(bundle)
    done = oci.exec(name, "id", "-u", flags=("--user", user))
    assert done.exit_code != 0
    assert done.stdout == ""


def test_digits_are_a_number_whatever_the_passwd_of_the_container_says(oci, bundle):
    (bundle.rootfs / "etc/passwd").write_text("1000:x:0:0::/:/bin/sh\n0:x:1000:1000::/:/bin/sh\n")
    name = oci.up(bundle)
    done = oci.exec(name, "id", "-u", flags=("--user", "1000"))
    assert done.stdout == "1000\n"


@pytest.mark.parametrize("kind", ["fifo", "huge", "link", "directory", "device", "loop"])
@pytest.mark.parametrize("file", ["passwd", "group"])
def test_no_file_of_accounts_stops_an_exec_or_a_container(oci, make_bundle, kind, file):
    bundle = make_bundle()
    path = bundle.rootfs / "etc" / file
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as sparse:
            sparse.truncate(1 << 40)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    else:
        path.symlink_to("/proc/1/root/etc/shadow" if kind == "link" else path.name)
    name = oci.up(bundle)
    done = oci.exec(name, "sh", "-c", "echo home $HOME; probe ids", flags=("--user", "5:6"))
    assert {"home": "/", "uid": "5", "gid": "6"}.items() <= done.facts.items(), done


# Its rights: CVE-2022-24769, CVE-2022-27650, CVE-2022-29162.


@pytest.mark.parametrize("user", ["0", "1000"])
def test_a_capability_of_exec_is_never_inheritable_or_ambient(oci, bundle, user):
    name = oci.up(bundle)
    flags = ("--cap", "CAP_SYS_TIME", "--cap", "CAP_NET_ADMIN", "--user", user)
    sets = oci.exec(name, "probe", "capabilities", flags=flags).sets()
    assert (sets["inheritable"], sets["ambient"]) == (0, 0)
    assert sets["bounding"] >> 25 & 1


@pytest.mark.parametrize("user", [0, 1000])
def test_inheritable_and_ambient_of_the_caller_are_not_the_containers(oci, bundle, user):
    bundle.process["user"] = {"uid": user, "gid": user}
    before = ["capsh", "--inh=cap_net_raw,cap_chown", "--addamb=cap_net_raw", "--", "-c"]
    name = oci.new_id()
    oci.directory.mkdir(parents=True)
    bundle.args("probe", "capabilities")
    words = oci.words("run", "--bundle", str(bundle.write()), name)
    done = subprocess.run(
        [*before, 'exec "$@"', "capsh", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    facts = dict(line.split() for line in done.stdout.splitlines())
    assert (int(facts["inheritable"], 16), int(facts["ambient"], 16)) == (0, 0), done.stderr


def test_no_capabilities_in_the_configuration_are_none(oci, bundle):
    del bundle.process["capabilities"]
    name = oci.up(bundle)
    assert set(oci.exec(name, "probe", "capabilities").sets().values()) == {0}


def test_an_exec_has_the_filter_and_no_new_privileges_of_the_container(oci, bundle):
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    for ask in (True, False):
        bundle.process["noNewPrivileges"] = ask
        name = oci.up(bundle)
        done = oci.exec(name, "probe", "attributes", "+", "mkdir", "/x")
        expected = {"no_new_privs": str(int(ask)), "seccomp": "2", "mkdir": "38"}
        assert expected.items() <= done.facts.items(), done


def test_the_groups_of_the_caller_are_not_those_of_an_exec(oci, bundle):
    name = oci.up(bundle)
    words = oci.words("exec", name, "id", "-G")
    done = subprocess.run(
        ["setpriv", "--groups=4,27", *words], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["0"], done.stderr


# What the container has put into the place of the kernel's files.


def test_an_exec_needs_no_proc_of_the_container(oci, bundle):
    bundle.config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    script = (
        "mkdir -p /tmp/self/attr /tmp/1/ns && echo 0 > /tmp/self/oom_score_adj &&"
        " mount --bind /tmp /proc && echo covered; sleep 1000"
    )
    give(bundle, "CAP_SYS_ADMIN")
    bundle.process["oomScoreAdj"] = 321
    name = oci.up(bundle.shell(f"{script}"))
    done = oci.exec(name, "sh", "-c", "ls /proc; cat /tmp/self/oom_score_adj")
    assert done.exit_code == 0, done.stderr
    assert "321" not in done.stdout


def test_a_terminal_is_not_taken_from_what_is_no_devpts(oci, bundle, tmp_path):
    give(bundle, "CAP_SYS_ADMIN")
    script = "umount /dev/pts; rmdir /dev/pts; ln -s /proc/self/fd /dev/pts; echo done; sleep 1000"
    name = oci.up(bundle.shell(script))
    while "done" not in oci.output(name):
        os.sched_yield()
    done = oci.exec(name, "tty", flags=("--tty",))
    assert done.exit_code != 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [") Z 1 1", ") X 0 0 0 0", "a\nb) Z"])
def test_the_name_of_a_process_is_not_taken_for_its_state(oci, bundle, voice, name):
    script = 'printf "%s" "$1" > /proc/self/comm; echo named; sleep 1000 & wait'
    container = oci.up(bundle.args("sh", "-c", script, "sh", name), stdout=voice.writing)
    assert voice.line() == "named"
    assert oci.status(container) == "running"
    done = oci.call("delete", container)
    assert done.exit_code == 1
    oci.ok("kill", container, "KILL")
    oci.wait(container)
    assert oci.status(container) == "stopped"
