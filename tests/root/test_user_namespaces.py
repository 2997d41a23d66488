"""Containers of ordinary users: which ids they get from real programs, files and kernels."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nestbox.kernel.capabilities import BY_NAME
from nestbox.kernel.syscalls import thread_rights
from tests.root.driver import Done, Driver
from tests.users import another_user

UID = 4177
ONE = f"0 {UID} 1"
QUIET = ("--log-level", "error")


@dataclass
class Alice:
    """An ordinary user with an account, and with what the files of a test give to it."""

    nestbox: Driver
    home: Path
    root: Path

    def write(self, name: str, text: str | bytes) -> None:
        """Let a file of /etc have this text for Alice."""
        path = self.home / "etc" / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o644)

    def ranges(self, line: str = "alice:100000:65536\n") -> None:
        """Give Alice subordinate ids."""
        self.write("subuid", line)
        self.write("subgid", line)

    def program(self, name: str, text: str) -> None:
        """Put a program before all others on the PATH, with a set-user-ID bit."""
        path = self.home / "bin" / name
        path.write_text(text)
        path.chmod(0o4755)

    def surroundings(self, *more: str) -> list[str]:
        """Return the words before a command that sees these files, and what more is run first."""
        etc = self.home / "etc"
        lines = ["set -e"]
        lines += [f"mount --bind {etc / name} /etc/{name}" for name in os.listdir(etc)]
        script = "\n".join((*lines, *more, 'exec "$@"'))
        return ["unshare", "--mount", "sh", "-c", script, "sh"]

    def run(self, *words: str, before: tuple[str, ...] = (), more: tuple[str, ...] = ()) -> Done:
        """Run a container as Alice; ``before`` is put before the command."""
        return self.nestbox.call(
            [
                *self.surroundings(*more),
                *another_user(UID),
                *before,
                *self.nestbox.arguments("--rootfs", str(self.root), *words),
            ]
        )

    def map_of(self, *words: str, **options: tuple[str, ...]) -> list[str]:
        """Return the rows of the uid map inside."""
        done = self.run(*QUIET, *words, "--", "cat", "/proc/self/uid_map", **options)
        assert done.exit_code == 0, done.stderr
        return [" ".join(line.split()) for line in done.stdout.splitlines()]


@pytest.fixture
def alice(nestbox: Driver, image: Path, nothing_left: None) -> Iterator[Alice]:
    """Yield a user without subordinate ids."""
    home = Path(tempfile.mkdtemp(prefix="nestbox-alice-", dir="/var/tmp"))
    home.chmod(0o755)
    for name in ("etc", "bin", "state", "storage"):
        (home / name).mkdir()
    root = home / "root"
    shutil.copytree(image, root, symlinks=True)
    subprocess.run(
        ["chown", "-R", f"{UID}:{UID}", root, home / "state", home / "storage"], check=True
    )
    nestbox.extra_environment = {
        "NESTBOX_ROOT": str(home / "state"),
        "NESTBOX_STORAGE": str(home / "storage"),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
    }
    user = Alice(nestbox, home, root)
    user.write("passwd", f"root:x:0:0::/root:/bin/sh\nalice:x:{UID}:{UID}::/:/bin/sh\n")
    user.ranges("")
    yield user
    shutil.rmtree(home)


def test_a_user_without_ranges_is_root_over_one_id(alice: Alice) -> None:
    assert alice.map_of() == [ONE]


def test_with_a_range_and_newuidmap_the_container_has_many_ids(alice: Alice) -> None:
    alice.ranges()
    assert alice.map_of() == [ONE, "1 100000 65536"]
    done = alice.run(*QUIET, "-u", "worker", "--", "probe", "ids")
    assert (done.facts["uid"], done.facts["gid"]) == ("1000", "1000")


def test_files_of_other_ids_can_be_made_with_many_ids(alice: Alice) -> None:
    alice.ranges()
    script = "touch /tmp/f && chown 1000:50 /tmp/f && stat -c %u:%g /tmp/f"
    done = alice.run(*QUIET, "--tmpfs", "/tmp", "--", "sh", "-c", script)
    assert done.stdout == "1000:50\n", done.stderr


def test_the_groups_of_the_image_are_given_where_setgroups_is_allowed(alice: Alice) -> None:
    alice.ranges()
    done = alice.run(*QUIET, "-u", "worker", "--", "sh", "-c", "id -G")
    assert done.stdout.split() == ["1000", "29", "44"], done.stderr


def test_keep_id_is_the_same_user_inside_as_outside(alice: Alice) -> None:
    done = alice.run(*QUIET, "--userns", "keep-id", "--", "probe", "ids")
    assert (done.facts["uid"], done.facts["gid"]) == (str(UID), str(UID)), done.stderr
    assert alice.map_of("--userns", "keep-id") == [f"{UID} {UID} 1"]
    alice.ranges()
    assert alice.map_of("--userns", "keep-id") == [
        f"0 100000 {UID}",
        f"{UID} {UID} 1",
        f"{UID + 1} {100000 + UID} {65536 - UID}",
    ]


def test_files_that_a_kept_id_makes_belong_to_the_user(alice: Alice) -> None:
    alice.ranges()
    mine = alice.root / "mnt"
    words = ("--userns", "keep-id", "--", "touch", "/mnt/mine")
    assert alice.run(*QUIET, *words).exit_code == 0
    assert (mine / "mine").stat().st_uid == UID


def test_maps_by_option_are_given_exactly(alice: Alice) -> None:
    alice.ranges()
    words = ("--uidmap", f"0:{UID}", "--uidmap", "7:100005:2", "--gidmap", "0:100000:9")
    assert alice.map_of(*words) == [ONE, "7 100005 2"]


def test_a_map_without_root_runs_another_user(alice: Alice) -> None:
    words = ("--userns", f"5:{UID}:1", "-u", "5:5", "--", "probe", "ids")
    assert alice.run(*QUIET, *words).facts["uid"] == "5"


def test_ids_of_others_are_refused_before_anything_is_made(alice: Alice) -> None:
    alice.ranges()
    done = alice.run("--uidmap", "0:4000:1", "--", "true")
    assert done.exit_code == 125
    assert "belong to others" in done.stderr


def test_no_new_privileges_around_us_leave_one_id(alice: Alice) -> None:
    alice.ranges()
    done = alice.run("--", "cat", "/proc/self/uid_map", before=("setpriv", "--no-new-privs"))
    assert " ".join(done.stdout.split()) == ONE
    assert "no_new_privs is set around us, which disarms newuidmap" in done.stderr


def test_without_the_programs_one_id_is_left_and_their_package_named(alice: Alice) -> None:
    alice.ranges()
    alice.nestbox.extra_environment["PATH"] = str(alice.home / "bin")
    words = ["/usr/bin/env", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", *alice.surroundings()]
    command = alice.nestbox.arguments(
        "--rootfs", str(alice.root), "--", "cat", "/proc/self/uid_map"
    )
    empty = ["/usr/bin/env", f"PATH={alice.home / 'bin'}"]
    done = alice.nestbox.call([*words, *another_user(UID), *empty, *command])
    assert " ".join(done.stdout.split()) == ONE, done.stderr
    assert "newuidmap and newgidmap are not on PATH" in done.stderr


def _copied(alice: Alice, name: str, mode: int) -> None:
    path = alice.home / "bin" / name
    shutil.copy(shutil.which(name) or "", path)
    path.chmod(mode)


def test_a_program_without_its_bit_leaves_one_id_and_says_how_to_set_it(alice: Alice) -> None:
    alice.ranges()
    _copied(alice, "newuidmap", 0o755)
    done = alice.run("--", "cat", "/proc/self/uid_map")
    assert " ".join(done.stdout.split()) == ONE
    assert f"{alice.home}/bin/newuidmap is neither set-user-ID root" in done.stderr


def test_file_capabilities_in_place_of_the_bit_give_many_ids(alice: Alice) -> None:
    alice.ranges()
    for name in ("newuidmap", "newgidmap"):
        _copied(alice, name, 0o755)
        capability = f"cap_set{name[3:6]}=ep"
        subprocess.run(["setcap", capability, alice.home / "bin" / name], check=True)
    assert alice.map_of() == [ONE, "1 100000 65536"]


def test_a_mount_with_nosuid_leaves_one_id(alice: Alice) -> None:
    alice.ranges()
    directory = alice.home / "bin"
    for name in ("newuidmap", "newgidmap"):
        _copied(alice, name, 0o4755)
    more = (f"mount --bind {directory} {directory}", f"mount -o remount,bind,nosuid {directory}")
    done = alice.run("--", "cat", "/proc/self/uid_map", more=more)
    assert " ".join(done.stdout.split()) == ONE
    assert "nosuid" in done.stderr


def test_a_program_that_fails_is_an_error_with_its_own_words(alice: Alice) -> None:
    alice.ranges()
    alice.program("newuidmap", "#!/bin/sh\necho no ids today >&2\nexit 1\n")
    done = alice.run("--", "true")
    assert done.exit_code == 125
    assert "cannot map ids with newuidmap" in done.stderr
    assert "no ids today" in done.stderr


def test_a_program_that_hangs_is_given_up(alice: Alice) -> None:
    alice.ranges()
    alice.program("newuidmap", "#!/bin/sh\nexec sleep 60\n")
    start = time.monotonic()
    done = alice.run("--", "true")
    assert time.monotonic() - start < 30
    assert done.exit_code == 125
    assert "did not end within" in done.stderr


def test_a_program_that_is_none_is_an_error(alice: Alice) -> None:
    alice.ranges()
    alice.program("newuidmap", "\0\0\0")
    done = alice.run("--", "true")
    assert done.exit_code == 125
    assert "cannot be executed" in done.stderr


@pytest.mark.parametrize(
    "text",
    [b"alice:x:y\n", b"\xff\xfe\0\0", b"alice:4294967295:10", b"alice:0", b"#" * (2 << 20)],
    ids=["garbage", "binary", "no such ids", "cut off", "large"],
)
def test_damaged_files_leave_one_id_and_are_named(alice: Alice, text: bytes) -> None:
    alice.write("subuid", text)
    done = alice.run("--", "cat", "/proc/self/uid_map")
    assert " ".join(done.stdout.split()) == ONE
    assert "/etc/subuid" in done.stderr
    assert done.exit_code == 0


def test_ranges_that_overlap_and_lack_a_newline_are_one(alice: Alice) -> None:
    alice.ranges(f"alice:100000:100\n{UID}:100050:100\nroot:0:1\nalice:100150:50")
    assert alice.map_of() == [ONE, "1 100000 200"]


def test_a_range_that_a_neighbour_has_too_is_told(alice: Alice) -> None:
    alice.ranges("alice:100000:100\nbob:100050:100\n")
    done = alice.run("--", "true")
    assert done.exit_code == 0
    assert "gives ids of ours to bob too" in done.stderr


def test_groups_that_cannot_be_dropped_are_told(alice: Alice) -> None:
    words = (*alice.surroundings(), *another_user(UID)[:-1], "--groups=27,4177")
    command = alice.nestbox.arguments("--rootfs", str(alice.root), "--", "sh", "-c", "id -G")
    done = alice.nestbox.call([*words, *command])
    assert done.exit_code == 0, done.stderr
    assert sorted(set(done.stdout.split())) == ["0", "65534"]
    assert "groups none: the outer groups are kept: 27, seen inside as 65534" in done.stderr


def inside_user_namespace(*lines: str) -> list[str]:
    """Return the words before a command in a user namespace of its own, after these lines."""
    script = "\n".join(("set -e", *lines, 'exec "$@"'))
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]


def sysctl(value: int) -> str:
    return f"echo {value} > /proc/sys/user/max_user_namespaces"


@pytest.mark.usefixtures("nothing_left")
def test_the_remedy_for_a_limit_of_no_user_namespaces_is_enough(
    nestbox: Driver, image: Path
) -> None:
    words = ("--userns", "0:0:1", "--rootfs", str(image), "--", "true")
    refused = nestbox.run(*words, before=inside_user_namespace(sysctl(0)))
    assert refused.exit_code == 125
    assert "user.max_user_namespaces is 0" in refused.stderr
    assert "sysctl -w user.max_user_namespaces=15000" in refused.stderr
    # The same state directory, in which what was tried is kept.
    given = nestbox.run(*words, before=inside_user_namespace(sysctl(0), sysctl(15000)))
    assert given.exit_code == 0, given.stderr


@pytest.mark.usefixtures("nothing_left")
def test_a_limit_that_is_used_up_is_told_with_its_value(nestbox: Driver, image: Path) -> None:
    """One user namespace is allowed, and the command runs in a second one."""
    lines = (sysctl(1), "exec unshare --user --map-root-user --keep-caps -- " + '"$@"')
    words = ("--userns", "0:0:1", "--rootfs", str(image), "--", "true")
    done = nestbox.run(*words, before=inside_user_namespace(*lines))
    assert done.exit_code == 125
    assert "user.max_user_namespaces of a user namespace around ours is reached" in done.stderr
    assert "ENOSPC" in done.stderr


CHROOT = """
mount -t tmpfs none {base}
mkdir {base}/root
for each in /*; do
    test -d "$each" && test ! -L "$each" || continue
    mkdir -p "{base}/root$each"
    case "$each" in /lost+found) ;; *) mount --rbind "$each" "{base}/root$each" ;; esac
done
for each in /*; do test ! -L "$each" || cp -P "$each" {base}/root/; done
"""


def test_a_chroot_is_named_as_what_forbids_user_namespaces(alice: Alice) -> None:
    base = alice.home / "chroot"
    base.mkdir()
    inner = shlex.join([*another_user(UID), *alice.nestbox.arguments("--", "true")])
    script = f"set -e{CHROOT.format(base=base)}exec chroot {base}/root sh -c {shlex.quote(inner)}"
    done = alice.nestbox.call(["unshare", "--mount", "sh", "-c", script])
    assert done.exit_code == 125
    assert "(chroot)" in done.stderr
    assert "pivot_root" in done.stderr


def test_a_chroot_into_a_mount_is_what_is_left_when_nothing_else_forbids(alice: Alice) -> None:
    base = alice.home / "chroot"
    base.mkdir()
    inner = shlex.join([*another_user(UID), *alice.nestbox.arguments("--", "true")])
    script = f"mount --rbind / {base} && exec chroot {base} sh -c {shlex.quote(inner)}"
    done = alice.nestbox.call(["unshare", "--mount", "sh", "-c", script])
    assert done.exit_code == 125
    assert "chroot" in done.stderr or "security module" in done.stderr


def test_a_nested_container_gets_the_ids_that_exist_around_it(alice: Alice) -> None:
    """Alice's container has ten ids of a range; a range for its root is cut to those."""
    alice.ranges("root:3:1000\nalice:100000:65536\n")
    inner = [
        *("env", "NESTBOX_ROOT=/tmp/s", "NESTBOX_STORAGE=/tmp/t"),
        *alice.nestbox.command,
        *("run", "--log-level", "error", "--userns", "auto", "--rootfs", str(alice.root)),
        *("--", "cat", "/proc/self/uid_map"),
    ]
    done = alice.nestbox.call(
        [
            *alice.surroundings(),
            *another_user(UID),
            *alice.nestbox.command,
            *("run", "--privileged", "--log-level", "error", "--rootfs", "host"),
            *("--uidmap", f"0:{UID}", "--uidmap", "1:100000:9"),
            *("-e", "PATH", "--", *inner),
        ]
    )
    assert done.exit_code == 0, done.stderr
    assert [" ".join(line.split()) for line in done.stdout.splitlines()] == ["0 3 7"]


def test_a_score_and_limits_hold_in_a_user_namespace(alice: Alice) -> None:
    script = "cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn"
    words = ("--oom-score-adj", "700", "--ulimit", "nofile=50:60", "--", "sh", "-c", script)
    done = alice.run(*QUIET, *words)
    assert done.stdout.split() == ["700", "50", "60"], done.stderr


def test_limits_above_the_outer_ones_are_given_by_root_to_its_user_namespaces(
    nestbox: Driver, image: Path, nothing_left: None
) -> None:
    """The executor has no right to them in there, so the runtime gives them while it waits."""
    if not thread_rights().effective >> BY_NAME["CAP_SYS_RESOURCE"] & 1:
        pytest.skip("CAP_SYS_RESOURCE is not in the outer effective set")
    words = ("--userns", "auto", "--ulimit", "nofile=90:100", "--oom-score-adj", "-10")
    script = "cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn"
    lower = ["prlimit", "--nofile=80:80"]
    done = nestbox.run(
        *QUIET, *words, "--rootfs", str(image), "--", "sh", "-c", script, before=lower
    )
    assert done.stdout.split() == ["-10", "90", "100"], done.stderr


def test_a_score_that_needs_rights_is_refused_before_anything_is_made(alice: Alice) -> None:
    done = alice.run("--oom-score-adj", "-900", "--", "true")
    assert done.exit_code == 125
    assert "CAP_SYS_RESOURCE" in done.stderr


def test_sysctls_of_the_user_s_own_network_are_set_and_others_refused(alice: Alice) -> None:
    given = ("--sysctl", "net.ipv4.ip_default_ttl=33", "--", "cat")
    path = "/proc/sys/net/ipv4/ip_default_ttl"
    done = alice.run(*QUIET, "--network", "none", *given, path)
    assert done.stdout.split() == ["33"], done.stderr
    for setting in ("net.ipv4.no_such=1", "net.ipv4.ip_default_ttl=x", "net.core.rmem_max=99999"):
        refused = alice.run("--network", "none", "--sysctl", setting, "--", "true")
        assert refused.exit_code == 125
        assert f"cannot give --sysctl {setting}" in refused.stderr


LANDLOCK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
# struct landlock_ruleset_attr: every right is handled that files on a device have, so none of ours
handled = (ctypes.c_uint64 * 1)(1 << 6)
ruleset = libc.syscall(444, handled, 8, 0)
if ruleset < 0 or libc.prctl(38, 1, 0, 0, 0) or libc.syscall(446, ruleset, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("root", [False, True], ids=["user", "root"])
def test_a_landlock_sandbox_is_named_as_what_lets_nobody_mount(alice: Alice, root: bool) -> None:
    if sandboxes() < 1:
        pytest.skip("this kernel has no Landlock, or it is not active")
    before = (sys.executable, "-c", LANDLOCK)
    if root:
        done = alice.nestbox.run("--rootfs", str(alice.root), "--", "true", before=before)
    else:
        done = alice.run("--", "true", before=before)
    assert done.exit_code == 125
    assert "Landlock" in done.stderr
    assert "start nestbox outside of the sandbox" in done.stderr


def sandboxes() -> int:
    """Return the version of Landlock, 0 without it. Source: landlock_create_ruleset(2)."""
    version = ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)
    return max(version, 0)


def test_user_namespaces_that_are_too_deep_are_told(alice: Alice) -> None:
    """The kernel nests 33 of them below the first; a container's own would be the 34th."""
    levels = "unshare --user --map-root-user -- " * 33
    inner = shlex.join(alice.nestbox.arguments("--userns", "0:0:1", "--", "true"))
    done = alice.nestbox.call([*another_user(UID), "sh", "-c", f"exec {levels}{inner}"])
    assert done.exit_code == 125
    assert "33 deep" in done.stderr
