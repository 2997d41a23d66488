"""What the container's program is given: user, groups, environment, names, network, seccomp."""

from __future__ import annotations

import json
import os
import socket

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")

EPERM = "1"


@pytest.fixture
def launch(nestbox, image):
    """Return a function that runs a command in the small root."""

    def run(flags, *command, **options):
        return nestbox.run(*flags, "--rootfs", str(image), "--", *command, **options)

    return run


class TestUser:
    def test_root_is_the_default(self, launch):
        assert launch([], "probe", "ids").facts["uid"] == "0"

    @pytest.mark.parametrize(
        ("user", "uid", "gid"),
        [("1000", "1000", "1000"), ("1000:50", "1000", "50"), ("worker", "1000", "1000"),
         ("worker:staff", "1000", "50"), ("4000:4001", "4000", "4001"), ("4000", "4000", "0")],
    )  # fmt: skip
    def test_it_is_a_number_or_a_name_of_the_container(self, launch, user, uid, gid):
        facts = launch(["--user", user], "probe", "ids").facts
        assert (facts["uid"], facts["gid"]) == (uid, gid)

    def test_a_named_user_has_the_groups_of_the_containers_group_file(self, launch):
        groups = set(launch(["--user", "worker"], "probe", "ids").facts["groups"].split(","))
        assert {"29", "44"} <= groups
        assert "50" not in groups

    def test_the_groups_of_the_caller_are_not_inherited(self, nestbox, image):
        words = ("--user", "4000:4000", "--rootfs", str(image), "--", "probe", "ids")
        done = nestbox.run(*words, before=["setpriv", "--groups", "7,8,9"])
        assert not {"7", "8", "9"} & set(done.facts["groups"].split(","))

    @pytest.mark.parametrize("user", ["nobodyhere", "worker:nogroup", "-1", "", ":", "4294967295"])
    def test_one_that_is_not_there_is_refused(self, launch, user):
        done = launch(["--user", user], "true")
        assert done.exit_code == 125
        assert "because:" in done.stderr

    def test_home_is_that_of_the_user(self, launch):
        assert launch(["--user", "worker"], "sh", "-c", "echo $HOME").stdout == "/home/worker\n"


class TestEnvironment:
    def test_it_is_not_the_callers(self, launch):
        names = {line.partition("=")[0] for line in launch([], "env").stdout.splitlines()}
        assert names <= {"PATH", "HOME", "HOSTNAME", "TERM", "container"}

    def test_a_variable_is_given(self, launch):
        assert "X=one two" in launch(["-e", "X=one two"], "env").stdout.splitlines()

    def test_a_name_alone_takes_the_callers_value(self, launch, nestbox):
        nestbox.extra_environment["FROM_OUTSIDE"] = "value"
        assert "FROM_OUTSIDE=value" in launch(["-e", "FROM_OUTSIDE"], "env").stdout.splitlines()

    def test_the_last_of_two_wins(self, launch):
        assert launch(["-e", "X=1", "-e", "X=2"], "sh", "-c", "echo $X").stdout == "2\n"

    def test_a_file_gives_lines_without_comments(self, launch, tmp_path):
        (tmp_path / "env").write_text("# comment\nA=1\n\nB=two words\n")
        lines = launch(["--env-file", str(tmp_path / "env")], "env").stdout.splitlines()
        assert {"A=1", "B=two words"} <= set(lines)

    def test_a_missing_file_is_refused(self, launch, tmp_path):
        done = launch(["--env-file", str(tmp_path / "none")], "env")
        assert done.exit_code == 125
        assert "none" in done.stderr

    def test_a_newline_in_a_value_arrives(self, launch):
        assert launch(["-e", "X=a\nb"], "sh", "-c", 'echo "$X"').stdout == "a\nb\n"

    def test_a_variable_without_a_name_is_refused(self, launch):
        assert launch(["-e", "=x"], "true").exit_code == 125


class TestNames:
    def test_the_host_name_is_set_inside_alone(self, launch):
        before = socket.gethostname()
        assert launch(["--hostname", "inner.example"], "hostname").stdout == "inner.example\n"
        assert socket.gethostname() == before

    @pytest.mark.parametrize("name", ["", "-x", "a b", "x" * 65, "a\nb", "ä"])
    def test_a_host_name_that_is_none_is_refused(self, launch, name):
        done = launch(["--hostname", name], "true")
        assert done.exit_code == 125
        assert "hostname" in done.stderr

    @pytest.mark.parametrize(
        "name", ["", "a/b", "..", ".", "../x", "/etc", "a\nb", "x" * 300, "@records"]
    )
    def test_a_container_name_that_is_none_is_refused(self, nestbox, launch, name):
        done = launch(["--name", name], "true")
        assert done.exit_code == 125
        assert "--name" in done.stderr
        assert not nestbox.state.exists()


class TestNetwork:
    def test_none_has_a_loopback_that_is_up_and_nothing_else(self, launch):
        done = launch(["--network", "none"], "sh", "-c", "ls /sys/class/net; ip addr show lo")
        assert done.stdout.splitlines()[0] == "lo"
        assert "UP" in done.stdout
        assert "127.0.0.1" in done.stdout
        assert launch(["--network", "none"], "ls", "/proc/sys/net/ipv4/conf").stdout.split() == [
            "all", "default", "lo"
        ]  # fmt: skip

    def test_host_is_the_callers(self, launch):
        inner = launch(["--network", "host"], "readlink", "/proc/self/ns/net").stdout.strip()
        assert inner == os.readlink("/proc/self/ns/net")

    def test_every_other_namespace_is_new(self, launch):
        for name in ("mnt", "pid", "ipc", "uts", "cgroup"):
            inner = launch([], "readlink", f"/proc/self/ns/{name}").stdout.strip()
            assert inner != os.readlink(f"/proc/self/ns/{name}")

    @pytest.mark.parametrize("network", ["bridg", "nosuch", "", "container:x"])
    def test_one_that_nestbox_cannot_make_is_refused(self, launch, network):
        done = launch(["--network", network], "true")
        assert done.exit_code == 125
        assert "--network" in done.stderr


class TestSeccomp:
    @pytest.fixture
    def no_mkdir(self, tmp_path):
        """Return a profile in the common format that refuses mkdir alone."""
        names = ["mkdir", "mkdirat"]
        rule = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 87}
        path = tmp_path / "seccomp.json"
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
        return path

    def test_a_profile_of_ones_own_is_in_force(self, launch, no_mkdir):
        done = launch(["--security-opt", f"seccomp={no_mkdir}"], "probe", "mkdir", "/tmp/x")
        assert done.facts["mkdir"] == "87"

    def test_the_default_filters(self, launch):
        assert launch([], "probe", "attributes").facts["seccomp"] == "2"

    def test_unconfined_does_not(self, launch):
        done = launch(["--security-opt", "seccomp=unconfined"], "probe", "attributes")
        assert done.facts["seccomp"] == "0"

    @pytest.mark.parametrize(
        "content",
        [None, "", "{", "[]", '{"defaultAction": "NOPE"}', '{"defaultAction": 7}', "\0",
         '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"x"}]}'],
    )  # fmt: skip
    def test_a_file_that_is_no_profile_is_refused(self, launch, tmp_path, content):
        path = tmp_path / "seccomp.json"
        if content is not None:
            path.write_text(content)
        done = launch(["--security-opt", f"seccomp={path}"], "true")
        assert done.exit_code == 125
        assert "seccomp.json" in done.stderr
        assert "because:" in done.stderr

    @pytest.mark.parametrize("option", ["", "=", "seccomp=", "nosuch=1", "no-new-privileges=maybe"])
    def test_a_security_option_that_is_none_is_refused(self, launch, option):
        done = launch(["--security-opt", option], "true")
        assert done.exit_code == 125
        assert "because:" in done.stderr


class TestProfiles:
    def test_minimal_is_the_least(self, launch):
        script = "probe capabilities + attributes + mkdir /made + ids; ls /sys/class/net"
        done = launch(["--profile", "minimal"], "sh", "-c", script)
        assert set(done.sets().values()) == {0}
        assert done.facts["no_new_privs"] == "1"
        assert done.facts["seccomp"] == "2"
        assert done.facts["mkdir"] == "30"
        assert done.stdout.splitlines()[-1] == "lo"

    def test_minimal_has_small_limits(self, nestbox, image):
        words = ("--profile", "minimal", "--rootfs", str(image), "--", "probe", "fork", "100000")
        facts = nestbox.run(*words).facts
        assert facts["fork"] == "11"
        assert int(facts["forked"]) < 5000

    def test_minimal_can_write_its_temporary_directory(self, launch):
        done = launch(["--profile", "minimal"], "sh", "-c", "echo x > /tmp/x && cat /tmp/x")
        assert done.stdout == "x\n"

    def test_default_is_the_common_engine_default(self, launch):
        done = launch([], "probe", "capabilities", "+", "attributes")
        assert done.sets()["effective"] == 0xA80425FB
        assert (done.facts["no_new_privs"], done.facts["seccomp"]) == ("0", "2")

    @pytest.mark.parametrize("path", ["/proc/kcore", "/proc/keys", "/proc/timer_list"])
    def test_default_masks_files(self, launch, path):
        assert launch([], "cat", path).stdout == ""

    @pytest.mark.parametrize("path", ["/proc/sys/kernel/hostname", "/proc/bus/input/devices"])
    def test_default_makes_kernel_files_read_only(self, launch, path):
        assert launch([], "probe", "open", path, "w").facts["open"] == "30"

    def test_default_cannot_mount(self, launch):
        assert launch([], "mount", "-t", "tmpfs", "none", "/mnt").exit_code == 1

    def test_privileged_lifts_masks_filter_and_read_only_paths(self, launch):
        script = "probe attributes + open /proc/sys/kernel/hostname w; cat /proc/keys | wc -l"
        done = launch(["--privileged"], "sh", "-c", script)
        assert done.facts["seccomp"] == "0"
        assert done.facts["open"] == "0"

    def test_privileged_has_the_outer_devices(self, launch):
        devices = set(launch(["--privileged"], "ls", "/dev").stdout.split())
        outer = {entry.name for entry in os.scandir("/dev") if not entry.is_dir()}
        links = {name for name in outer if os.path.islink(f"/dev/{name}")}
        # Terminals of the outer environment are nobody's to hand over.
        terminals = {name for name in outer if name.startswith(("tty", "console"))}
        assert outer - links - terminals <= devices

    def test_an_unknown_profile_is_refused_with_a_suggestion(self, launch):
        done = launch(["--profile", "privilegd"], "true")
        assert done.exit_code == 125
        assert "did you mean" in done.stderr
        assert "privileged" in done.stderr

    def test_privileged_and_another_profile_contradict(self, launch):
        done = launch(["--privileged", "--profile", "minimal"], "true")
        assert done.exit_code == 125
        assert "--privileged" in done.stderr
