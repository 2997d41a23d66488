"""What a hostile program inside a container tries first; the CVE says where it worked once."""

from __future__ import annotations

import array
import errno
import fcntl
import hashlib
import os
import stat
import subprocess
import termios
from pathlib import Path

import pytest

import nestbox as package
from tests.root.driver import end, expect_line

pytestmark = pytest.mark.usefixtures("nothing_left")

EXECUTOR = Path(package.__file__).with_name("executor") / "nestbox-init"
KEYRING = Path(__file__).with_name("keyring.c")
SEALED_COPY = "/memfd:nestbox-init (deleted)"
WRITABLE_SYSTEM_FILES = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
)
OUR_FILE_SYSTEMS = {
    "proc", "tmpfs", "devtmpfs", "devpts", "sysfs", "mqueue", "cgroup", "cgroup2",
}  # fmt: skip


@pytest.fixture
def launch(nestbox, image):
    """Return a function that runs a command in the small root."""

    def run(*command, flags=(), **options):
        return nestbox.run(*flags, "--rootfs", str(image), "--", *command, **options)

    return run


@pytest.fixture
def executor_unchanged():
    """Hold that the installed executor has the same bytes after the test."""
    before = hashlib.sha256(EXECUTOR.read_bytes()).hexdigest()
    yield
    assert hashlib.sha256(EXECUTOR.read_bytes()).hexdigest() == before


# The program of the host: CVE-2019-5736.


@pytest.mark.usefixtures("executor_unchanged")
@pytest.mark.parametrize("flags", [(), ("--init",), ("--privileged",), ("--privileged", "--init")])
def test_the_executor_as_the_containers_command_is_a_copy_that_does_nothing(launch, flags):
    done = launch("/proc/self/exe", flags=flags)
    assert done.exit_code != 0
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("executor_unchanged")
def test_the_executor_as_a_scripts_interpreter_is_a_copy_that_does_nothing(nestbox, root):
    (root / "bin/evil").write_text("#!/proc/self/exe\n")
    (root / "bin/evil").chmod(0o755)
    done = nestbox.run("--rootfs", str(root), "--", "/bin/evil")
    assert done.exit_code != 0
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("executor_unchanged")
@pytest.mark.parametrize("flags", [("--init",), ("--privileged", "--init")])
def test_the_init_of_a_container_leads_to_no_file_of_the_host(launch, flags):
    done = launch("probe", "readlink", "/proc/1/exe", "+", "open", "/proc/1/exe", "w", flags=flags)
    assert done.facts["link"] in {"", SEALED_COPY}
    assert done.facts["open"] != "0"


@pytest.mark.parametrize("name", ["mem", "environ", "maps", "fd/0", "cwd/", "root/"])
def test_the_init_of_a_container_is_closed_to_its_programs(launch, name):
    done = launch("probe", "open", f"/proc/1/{name}", flags=("--init",))
    assert int(done.facts["open"]) in {errno.EACCES, errno.EPERM}


def test_the_init_of_a_container_is_closed_to_the_user_that_it_runs_as(launch):
    done = launch("probe", "open", "/proc/1/mem", flags=("--init", "-u", "1000"))
    assert int(done.facts["open"]) in {errno.EACCES, errno.EPERM}


# Descriptors and directories of the host: CVE-2016-9962, CVE-2024-21626.


@pytest.fixture
def held():
    """Yield descriptors of directories of the host that a program of ours would inherit."""
    found = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(6)]
    for fd in found:
        os.set_inheritable(fd, True)
    yield found
    for fd in found:
        os.close(fd)


@pytest.mark.parametrize("flags", [(), ("--init",), ("--privileged", "--init")])
def test_directories_that_the_caller_holds_open_are_not_inherited(nestbox, image, held, flags):
    words = (*flags, "--rootfs", str(image), "--", "probe", "descriptors", "+", "cwd")
    done = end(nestbox.start(*words, pass_fds=held))
    assert done.facts == {"descriptors": "0,1,2", "cwd": "/"}


@pytest.mark.parametrize("number", [3, 4, 7, 10, 11])
def test_no_descriptor_is_a_working_directory(nestbox, image, held, number):
    where = f"/proc/self/fd/{number}"
    words = ("-w", where, "--rootfs", str(image), "--", "probe", "cwd")
    done = end(nestbox.start(*words, pass_fds=held))
    assert done.exit_code == 125
    assert where in done.stderr


@pytest.mark.parametrize(
    "link", ["{outside}", "../../../../../../..{outside}", "/proc/1/root", "x"]
)
def test_a_link_as_working_directory_stays_inside(nestbox, root, tmp_path, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "x").symlink_to(link.format(outside=outside))
    done = nestbox.run("-w", "/x", "--rootfs", str(root), "--", "touch", "was-here")
    assert done.exit_code in {0, 125}
    assert list(outside.iterdir()) == []


# The old root and the mounts of the host.


def test_nothing_lies_above_the_root(launch):
    ways = ("/..", "/../../..", "/proc/self/root/..", "/proc/1/root/", "/proc/1/cwd/..", ".")
    done = launch("stat", "-c", "%d:%i", "/", *ways)
    assert done.exit_code == 0, done.stderr
    assert len(set(done.stdout.split())) == 1


def test_only_what_was_planned_is_mounted(launch, image):
    done = launch("cat", "/proc/self/mountinfo", flags=("--network", "none"))
    foreign = []
    for line in done.stdout.splitlines():
        fields = line.split()
        root, target = fields[3:5]
        fstype = fields[fields.index("-") + 1]
        if fstype not in OUR_FILE_SYSTEMS:
            foreign.append((root, target))
        if fstype == "devtmpfs":
            assert stat.S_ISCHR(os.stat(f"/dev{root}").st_mode)
    assert [target for _, target in foreign] == ["/"]
    # As its file system names it, which may be mounted anywhere.
    assert str(image).endswith(foreign[0][0]) or foreign[0][0].endswith(str(image))


def test_mounts_of_the_container_are_private(launch):
    done = launch("cat", "/proc/self/mountinfo")
    fields = [line.split(" - ")[0].split() for line in done.stdout.splitlines()]
    assert [words[6:] for words in fields if words[6:]] == []


# Devices: what CAP_MKNOD makes cannot be opened.


@pytest.mark.parametrize("directory", ["", "/tmp", "/dev", "/dev/shm", "/volume", "/scratch"])
def test_a_disk_that_the_container_makes_cannot_be_opened(nestbox, root, tmp_path, directory):
    device = os.stat("/").st_dev
    (tmp_path / "volume").mkdir()
    node = f"{directory}/disk"
    major, minor = str(os.major(device)), str(os.minor(device))
    done = nestbox.run(
        *("-v", f"{tmp_path}/volume:/volume", "--tmpfs", "/scratch", "--rootfs", str(root)),
        *("--", "probe", "mknod", node, major, minor, "+", "open", node),
    )
    assert done.facts == {"mknod": "0", "open": str(errno.EACCES)}


# The kernel's own files: CVE-2022-0492 and what masks and read-only paths are for.


def test_system_files_cannot_be_written(launch):
    tries = [word for path in WRITABLE_SYSTEM_FILES for word in ("open", path, "w", "+")]
    done = launch("probe", *tries[:-1])
    answers = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(answers) == len(WRITABLE_SYSTEM_FILES)
    assert set(answers) <= {errno.EROFS, errno.ENOENT, errno.EACCES}


def test_the_release_agent_of_no_hierarchy_can_be_written(launch):
    script = (
        "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do"
        " [ -e $d/release_agent ] && echo $d/release_agent;"
        " [ -e $d/cgroup.procs ] && echo $d/cgroup.procs; done"
    )
    found = launch("sh", "-c", script).stdout.split()
    assert found, "no cgroup is mounted"
    tries = [word for path in found for word in ("open", path, "w", "+")]
    done = launch("probe", *tries[:-1])
    assert {line.split()[1] for line in done.stdout.splitlines()} == {str(errno.EROFS)}


def test_masked_files_are_the_outer_null_device_whatever_the_root_has(nestbox, root):
    (root / "dev/null").write_text("a file of the image")
    done = nestbox.run(
        *("--rootfs", str(root), "--", "sh", "-c"),
        "cat /proc/interrupts /proc/keys; stat -c '%F %t:%T' /dev/null /proc/keys",
    )
    assert done.stdout.splitlines() == ["character special file 1:3"] * 2


# The terminal of the caller: CVE-2017-5226.


@pytest.mark.parametrize("flags", [("-i",), ("-i", "-t"), ("-i", "-t", "--privileged"), ()])
def test_nothing_can_be_typed_into_the_terminal_of_the_caller(nestbox, image, flags):
    words = nestbox.arguments(*flags, "--rootfs", str(image), "--", "probe", "push")
    master, slave = os.openpty()
    try:
        with subprocess.Popen(
            ["setsid", "--ctty", "--wait", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=nestbox.environment(),
        ) as process:
            process.wait(timeout=60)
        waiting = array.array("i", [0])
        fcntl.ioctl(slave, termios.FIONREAD, waiting)
        shown = os.read(master, 65536)
    finally:
        os.close(master)
        os.close(slave)
    assert b"push" in shown
    assert waiting[0] == 0


def test_the_console_of_the_host_is_not_there(launch):
    done = launch("sh", "-c", "ls /dev/console /dev/tty0 /dev/mem /dev/kmsg")
    assert done.stdout == ""


# The session keyring.


@pytest.fixture(scope="session")
def keyring(tmp_path_factory):
    """Return the program that opens its session keyring to everyone."""
    path = tmp_path_factory.mktemp("keyring") / "keyring"
    subprocess.run(["gcc", "-static", "-o", path, KEYRING], check=True)
    path.chmod(0o755)
    return path


def test_a_keyring_that_one_container_opens_is_not_joined_by_another(nestbox, image, keyring):
    words = ("--privileged", "-v", f"{keyring}:/keyring:ro", "--rootfs", str(image))
    words = ("-i", *words, "--", "/keyring")
    ours = nestbox.call([str(keyring)]).facts["keyring"]
    first = nestbox.start(*words, stdin=subprocess.PIPE)
    shown = first.stdout.readline().split()[1].decode()
    expect_line(first, b"ready")
    second = nestbox.run(*words, input=b"").facts["keyring"]
    first.communicate(timeout=60)
    assert len({ours, shown, second}) == 3


# Rights that were not asked for: CVE-2022-24769, CVE-2016-8867.


@pytest.mark.parametrize("user", ["0", "1000"])
def test_inheritable_and_ambient_of_the_caller_are_not_the_containers(nestbox, image, user):
    words = nestbox.arguments("-u", user, "--rootfs", str(image), "--", "probe", "capabilities")
    before = ["capsh", "--inh=cap_net_raw,cap_chown", "--addamb=cap_net_raw", "--", "-c"]
    done = nestbox.call([*before, 'exec "$@"', "capsh", *words])
    sets = done.sets()
    assert (sets["inheritable"], sets["ambient"]) == (0, 0)
    if user != "0":
        assert (sets["permitted"], sets["effective"]) == (0, 0)


# What else a process inherits.


def test_the_mask_of_the_caller_does_not_close_directories_that_are_made(nestbox, root):
    words = nestbox.arguments(
        "-w", "/made/for/me", "-u", "1000", "--rootfs", str(root), "--", "sh", "-c", "pwd; umask"
    )
    done = nestbox.call(["sh", "-c", 'umask 077; exec "$@"', "sh", *words])
    assert done.stdout == "/made/for/me\n0022\n", done.stderr
