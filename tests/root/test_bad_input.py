"""Bad input of any kind: one clear error with cause and remedy, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def refused(nestbox, image):
    """Return a function that expects a refusal of these arguments and returns its text."""

    def run(*arguments, command=("true",), rootfs=str(image), exit_code=125):
        root = () if rootfs is None else ("--rootfs", rootfs)
        done = nestbox.run(*arguments, *root, "--", *command)
        assert done.exit_code == exit_code, done
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        assert done.stderr.startswith("nestbox: ")
        assert done.stderr.count("\n  because: ") == 1
        assert done.stderr.count("\n  try:     ") == 1
        assert not nestbox.state.exists()
        return done.stderr

    return run


class TestCapabilityNames:
    def test_an_unknown_name_gets_a_suggestion(self, refused):
        text = refused("--cap-add", "SYS_ADMN")
        assert "did you mean SYS_ADMIN" in text

    @pytest.mark.parametrize("name", ["64", "100", "CAP_64", "-1", "99999999999999999999"])
    def test_a_number_out_of_range(self, refused, name):
        assert name in refused("--cap-add", name)

    @pytest.mark.parametrize("name", ["CAP_", "cap_", "", "?", "CAP_?", " ", "A B", "SYS_ADMIN??"])
    def test_no_name_at_all(self, refused, name):
        refused("--cap-add", name)

    @pytest.mark.parametrize("flag", ["--cap-add", "--cap-drop"])
    def test_all_twice(self, refused, flag):
        assert "twice" in refused(flag, "ALL", flag, "all")

    def test_all_in_both(self, refused):
        assert "ALL" in refused("--cap-add", "ALL", "--cap-drop", "ALL")

    def test_the_same_name_in_both(self, refused):
        assert "NET_RAW" in refused("--cap-add", "NET_RAW", "--cap-drop", "cap_net_raw")

    def test_all_bad_names_in_one_error(self, refused):
        text = refused("--cap-add", "FOO", "--cap-drop", "BAR", "--cap-add", "99")
        assert all(word in text for word in ("FOO", "BAR", "99"))


class TestContradictions:
    def test_privileged_and_a_profile(self, refused):
        refused("--privileged", "--profile", "default")

    def test_read_only_and_an_overlay(self, refused, image):
        assert "--read-only" in refused("--read-only", rootfs=f"{image}:overlay")

    def test_read_only_and_the_host(self, refused):
        refused("--read-only", rootfs="host:ro:overlay")

    def test_a_user_namespace_that_is_none(self, refused):
        for value in ("", "nosuch", "0:0", "0:0:0", "a:b:c", "0:0:1,0:1:1", "0:0:99999999999"):
            refused("--userns", value)


PROFILES = {
    "empty": "",
    "only a comment": "# nothing\n",
    "no mapping": "[1, 2]\n",
    "a scalar": "7\n",
    "no yaml": "a: [1, 2\n",
    "a tab": "\tname: x\n",
    "binary": "\0\1\2\xff",
    "an unknown key": "name: x\ncapabilites: {grant: ALL}\n",
    "a key twice": "name: x\nname: y\n",
    "an unknown capability": "name: x\ncapabilities: {grant: [SYS_ADMN]}\n",
    "a wrong type": "name: x\nmasked_paths: 7\n",
    "a python object": "name: !!python/object/apply:os.system ['true']\n",
    "an alias bomb": "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n",
    "itself as base": "name: x\nextends: ./profile.yaml\n",
    "a missing base": "name: x\nextends: nosuchprofile\n",
    "deep nesting": "a: " + "[" * 5000 + "]" * 5000,
    "two documents": "name: x\n---\nname: y\n",
}


class TestProfiles:
    @pytest.mark.parametrize("content", PROFILES.values(), ids=PROFILES.keys())
    def test_a_profile_that_is_none(self, refused, tmp_path, content):
        path = tmp_path / "profile.yaml"
        path.write_text(content, encoding="latin-1")
        assert "profile.yaml" in refused("--profile", str(path))

    def test_an_unknown_key_is_shown_with_its_line_and_a_suggestion(self, refused, tmp_path):
        path = tmp_path / "profile.yaml"
        path.write_text("name: x\ncapabilites: {grant: ALL}\n")
        text = refused("--profile", str(path))
        assert "profile.yaml:2:1" in text
        assert "did you mean" in text

    def test_a_huge_profile(self, refused, tmp_path):
        path = tmp_path / "profile.yaml"
        path.write_text("#" * (32 << 20))
        assert "profile.yaml" in refused("--profile", str(path))

    def test_a_loop_of_extends(self, refused, tmp_path):
        (tmp_path / "a.yaml").write_text(f"name: a\nextends: {tmp_path}/b.yaml\n")
        (tmp_path / "b.yaml").write_text(f"name: b\nextends: {tmp_path}/a.yaml\n")
        refused("--profile", str(tmp_path / "a.yaml"))

    @pytest.mark.parametrize(
        "path", ["/", "/dev/zero", "/nonexistent.yaml", "./", "/proc/self/mem"]
    )
    def test_a_path_that_is_no_profile(self, refused, path):
        refused("--profile", path)

    def test_a_fifo_does_not_hang(self, refused, tmp_path):
        os.mkfifo(tmp_path / "profile.yaml")
        refused("--profile", str(tmp_path / "profile.yaml"))


class TestRoot:
    def test_one_that_is_missing(self, refused, tmp_path):
        assert "missing" in refused(rootfs=str(tmp_path / "missing"))

    def test_a_file(self, refused, image):
        assert "busybox" in refused(rootfs=str(image / "bin/busybox"))

    def test_a_link_to_the_root_is_refused(self, refused, tmp_path):
        (tmp_path / "link").symlink_to("/")
        text = refused(rootfs=str(tmp_path / "link"))
        assert "link" in text

    def test_a_dangling_link(self, refused, tmp_path):
        (tmp_path / "link").symlink_to("nowhere")
        refused(rootfs=str(tmp_path / "link"))

    def test_an_empty_directory_has_no_program(self, nestbox, tmp_path):
        (tmp_path / "empty").mkdir()
        done = nestbox.run("--rootfs", str(tmp_path / "empty"), "--", "true")
        assert done.exit_code == 127
        assert "because:" in done.stderr

    @pytest.mark.parametrize("rootfs", ["", ":", ":ro", "x:y:z", "host:nosuch"])
    def test_one_that_is_malformed(self, refused, rootfs):
        refused(rootfs=rootfs)

    def test_one_that_we_may_not_read(self, nestbox, tmp_path):
        """As root without the capabilities that pass over permissions."""
        closed = tmp_path / "closed"
        closed.mkdir()
        os.chown(closed, 4000, 4000)
        closed.chmod(0o700)
        lost = "cap_dac_override,cap_dac_read_search"
        done = nestbox.under_capsh(lost, "--rootfs", str(closed), "--", "/bin/true")
        assert done.exit_code in {125, 126}
        assert "because:" in done.stderr
        assert "permission denied" in done.stderr
        assert "internal error" not in done.stderr


class TestStrings:
    """NUL cannot be in an argument of a command, so it is the library that must refuse it."""

    FIELDS = (
        {"argv": ("true", "a\0b")},
        {"argv": ("tr\0ue",)},
        {"environment": ("X=a\0b",)},
        {"environment": ("X\0Y=a",)},
        {"working_directory": "/a\0b"},
        {"user": "a\0b"},
        {"hostname": "a\0b"},
        {"network": "a\0b"},
        {"user_namespace": "a\0b"},
        {"profile": "a\0b"},
        {"name": "a\0b"},
        {"cap_add": ("a\0b",)},
        {"cap_drop": ("a\0b",)},
        {"sysctls": (("net.a\0b", "1"),)},
        {"sysctls": (("net.ipv4.ip_forward", "1\0"),)},
    )

    @pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: next(iter(fields)))
    @pytest.mark.parametrize("separator", ["\0", "\n"])
    def test_a_nul_or_newline_is_refused_or_passed_on_whole(
        self, nestbox, image, fields, separator
    ):
        from nestbox.errors import NestboxError
        from nestbox.policy.request import RootKind, RootMode, RootRequest, RunRequest
        from nestbox.runtime.context import context_of_process
        from nestbox.runtime.run import RunOptions, run

        root = RootRequest(kind=RootKind.DIRECTORY, directory=str(image), mode=RootMode.DIRECT)
        values = replaced({"argv": ("true",), **fields}, separator)
        request = RunRequest(root=root, **values)
        context = context_of_process(str(nestbox.state))
        try:
            done = run(request, context, RunOptions(capture=True))
        except NestboxError as error:
            assert all((error.what, error.cause, error.remedy))  # noqa: PT017 - either is right
        else:
            assert separator == "\n"
            assert done.exit_code == 0

    @pytest.mark.parametrize(
        "flags",
        [["-v", "/tmp\n:/x\n"], ["--tmpfs", "/x\n"], ["--mount", "type=tmpfs,target=/x\ny"],
         ["--device", "/dev/null\n"], ["--ulimit", "nofile\n=5"], ["--security-opt", "seccomp=\n"],
         ["--rootfs", "/x\n"], ["--env-file", "x\n"], ["--memory", "64m\n"], ["--cpus", "1\n"]],
        ids=lambda flags: flags[0],
    )  # fmt: skip
    def test_a_newline_in_a_flag_is_one_error_or_a_name(self, nestbox, image, flags):
        root = () if flags[0] == "--rootfs" else ("--rootfs", f"{image}:overlay")
        done = nestbox.run(*flags, *root, "--", "true")
        assert done.exit_code in {0, 125}
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        if done.exit_code == 125:
            assert done.stderr.count("\n  because: ") == 1
            assert done.stderr.count("\n  try:     ") == 1
        subprocess.run(["rm", "-rf", "/tmp\n"], check=True)

    def test_names_that_are_not_utf_8_are_passed_on(self, nestbox, image):
        done = nestbox.run("--rootfs", str(image), "--", "echo", b"\xff\xfe")
        assert (done.exit_code, done.stdout) == (0, "\udcff\udcfe\n")


def replaced(value, separator):
    """Return a value with another character in place of each NUL."""
    if isinstance(value, str):
        return value.replace("\0", separator)
    if isinstance(value, tuple):
        return tuple(replaced(one, separator) for one in value)
    return {key: replaced(one, separator) for key, one in value.items()}


class TestMany:
    def test_ten_thousand_arguments_arrive(self, nestbox, image):
        arguments = [str(number) for number in range(10_000)]
        script = 'echo "$# ${10000}"'
        done = nestbox.run("--rootfs", str(image), "--", "sh", "-c", script, "sh", *arguments)
        assert (done.exit_code, done.stdout) == (0, "10000 9999\n")

    def test_ten_thousand_variables_arrive(self, nestbox, image, tmp_path):
        lines = "".join(f"V{number}={number}\n" for number in range(10_000))
        (tmp_path / "env").write_text(lines)
        flags = ("--env-file", str(tmp_path / "env"), "--rootfs", str(image))
        done = nestbox.run(*flags, "--", "sh", "-c", "env | grep -c ^V")
        assert done.stdout == "10000\n"

    def test_more_than_the_kernel_takes_is_one_error(self, nestbox, image, tmp_path):
        (tmp_path / "env").write_text("BIG=" + "x" * (1 << 20) + "\n")
        flags = ("--env-file", str(tmp_path / "env"), "--rootfs", str(image))
        done = nestbox.run(*flags, "--", "true")
        assert done.exit_code in {125, 126}
        assert done.stderr.count("because:") == 1

    def test_many_volumes_are_mounted(self, nestbox, image, tmp_path):
        flags = [word for n in range(200) for word in ("--tmpfs", f"/mnt/{n}")]
        done = nestbox.run(
            *flags, "--rootfs", f"{image}:overlay", "--", "sh", "-c", "ls /mnt | wc -l"
        )
        assert done.stdout == "200\n", done.stderr
