"""Profiles from YAML: what they mean, where they are found, and each way to be wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest

from nestbox.errors import ProfileError
from nestbox.policy import profile_file
from nestbox.policy.decision import Intent
from nestbox.policy.profile import Choice
from nestbox.policy.profile_file import (
    find_profile,
    list_profiles,
    load_profile_file,
    profile_directories,
)
from nestbox.policy.shipped_profiles import NAMES, load_shipped


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two directories for profiles in the place of the machine's own."""
    system = tmp_path / "etc" / "nestbox" / "profiles"
    user = tmp_path / "config" / "nestbox" / "profiles"
    system.mkdir(parents=True)
    user.mkdir(parents=True)
    monkeypatch.setattr(profile_file, "SYSTEM_DIRECTORY", str(system))
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def put(environ: dict[str, str], name: str, text: str, *, system: bool = False) -> str:
    directory = profile_directories(environ)[0 if system else 1]
    path = os.path.join(directory, f"{name}.yaml")
    Path(path).write_text(text)
    return path


def cause_of(tmp_path: Path, data: str | bytes) -> str:
    """Return the cause with the file's name left out."""
    path = tmp_path / "p.yaml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(ProfileError) as caught:
        load_profile_file(str(path), {})
    assert caught.value.remedy
    return caught.value.cause.replace(str(path), "FILE")


def test_what_a_profile_leaves_out_is_as_in_default(environ: dict[str, str]) -> None:
    path = put(environ, "ci", "name: ci\nno_new_privs: true\n")
    default = load_shipped("default")
    assert find_profile("ci", environ) == msgspec.structs.replace(
        default, name="ci", description="", no_new_privs=True, source=path
    )


def test_every_key_in_every_form(environ: dict[str, str]) -> None:
    path = put(
        environ,
        "ci",
        """
name: ci
description: "for: a test"
capabilities: {grant: [KILL, "net_admin?", "21"], policy: strict, ambient: true}
user_namespace: {want: auto, policy: strict}
seccomp: strict
lsm: unconfined
devices: all
network: none
proc: bind
sys: {want: rw, otherwise: ro}
cgroup: {mount: rw, otherwise: none, policy: strict}
root: ro
masked_paths: [/proc/kcore]
readonly_paths: []
no_new_privs: true
limits: {memory: 512MiB, cpus: 0.5, pids: 7}
rlimits: {nofile: 1024:59, core: 0, nproc: unlimited}
oom_score_adj: 250
sysctls: {net.core.somaxconn: 99, kernel.sem: "1 2 3 4"}
""",
    )
    profile = load_profile_file(path, environ)
    assert profile.description == "for: a test"
    assert profile.capabilities.grant == ("KILL", "net_admin?", "21")
    assert profile.capabilities.policy is Intent.STRICT
    assert profile.capabilities.ambient
    assert profile.user_namespace == Choice(want="auto", policy=Intent.STRICT)
    assert profile.sys == Choice(want="rw", otherwise="ro")
    assert profile.cgroup == Choice(want="rw", otherwise="none", policy=Intent.STRICT)
    assert profile.root == Choice(want="ro")
    assert profile.masked_paths == ("/proc/kcore",)
    assert profile.readonly_paths == ()
    assert profile.limits.memory_bytes == 512 << 20
    assert (profile.limits.cpus, profile.limits.pids) == (0.5, 7)
    assert profile.oom_score_adj == 250
    assert profile.sysctls == (("net.core.somaxconn", "99"), ("kernel.sem", "1 2 3 4"))
    assert profile.rlimits == (
        ("RLIMIT_NOFILE", "1024:59"),
        ("RLIMIT_CORE", "0"),
        ("RLIMIT_NPROC", "unlimited"),
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("1k", 1024), ("2M", 2 << 20), ("3gb", 3 << 30), ("1TiB", 1 << 40), ("7b", 7)],
)
def test_sizes_are_powers_of_1024(environ: dict[str, str], text: str, size: int) -> None:
    path = put(environ, "ci", f"name: ci\nlimits: {{memory: {text}}}\n")
    assert load_profile_file(path, environ).limits.memory_bytes == size


def test_extends_replaces_whole_keys(environ: dict[str, str]) -> None:
    put(environ, "base", "name: base\nlimits: {pids: 7, cpus: 1}\nroot: ro\ndescription: theirs\n")
    path = put(environ, "ci", "name: ci\nextends: base\nlimits: {pids: 9}\n")
    profile = load_profile_file(path, environ)
    assert profile.root.want == "ro"
    assert (profile.limits.pids, profile.limits.cpus) == (9, None)
    assert (profile.name, profile.description, profile.source) == ("ci", "", path)


def test_extends_can_name_a_shipped_one_or_a_path_beside_it(environ: dict[str, str]) -> None:
    put(environ, "base", "name: base\nroot: ro\n")
    path = put(environ, "one", "name: one\nextends: ./base.yaml\n")
    assert load_profile_file(path, environ).root.want == "ro"
    path = put(environ, "two", "name: two\nextends: privileged\n")
    assert load_profile_file(path, environ).capabilities.grant == ("ALL",)


def test_anchors_stand_for_the_same_value(environ: dict[str, str]) -> None:
    path = put(environ, "ci", "name: ci\nmasked_paths: &p [/proc/a]\nreadonly_paths: *p\n")
    assert load_profile_file(path, environ).readonly_paths == ("/proc/a",)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", ["FILE:1:1: is empty"]),
        ("# nothing\n", ["FILE:1:1: is empty"]),
        ("[]", ["FILE:1:1: a list where a mapping"]),
        ("just text", ["FILE:1:1: 'just text' where a mapping"]),
        ("~", ["FILE:1:1: nothing where a mapping"]),
        (b"\xff\xfe\x00", ["FILE:1:1: byte 0xff is not UTF-8"]),
        (b"name: ci\n# \xc3(", ["FILE:2:3: byte 0xc3 is not UTF-8"]),
        ("name: a\x00b", ["FILE:1:8: not YAML"]),
        ("name: ci\n\tx: 1", ["FILE:2:1: not YAML"]),
        ("name: [ci", ["not YAML"]),
        ("name: ci\nname: ci", ["FILE:2:1: the key 'name' is there twice"]),
        ("name: ci\n---\nname: b", ["FILE:2:1: holds more than one document"]),
        ("name: !!python/name:os.system x", ["FILE:1:7: has the tag"]),
        ("name: !x ci", ["FILE:1:7: has the tag"]),
        ("name: &a [*a]", ["FILE:1:11: the alias *a has no anchor"]),
        ("name: *nope", ["FILE:1:7: the alias *nope has no anchor"]),
        ("? [a]\n: b", ["FILE:1:3: a key must be a text"]),
        ("seccomp: default", ["FILE:1:1: the key 'name' is missing"]),
        ("name: Ci", ["FILE:1:7: 'Ci' is not a name"]),
        ("name: ../x", ["FILE:1:7: '../x' is not a name"]),
        ('name: "ci\\n"', ["FILE:1:7: 'ci\\n' is not a name"]),
        ("name: default", ["FILE:1:7: 'default' is the name of a shipped profile"]),
        ("name: 7", ["FILE:1:7: 7 where a name"]),
        ("name: ci\nsecomp: x", ["FILE:2:1: unknown key 'secomp' (did you mean seccomp?)"]),
        ("name: ci\nseccomp: defualt", ["FILE:2:10: 'defualt' where", "did you mean default?"]),
        ("name: ci\nseccomp: {policy: strict}", ["FILE:2:10: the key want is missing"]),
        ("name: ci\nseccomp: {mount: strict}", ["FILE:2:11: unknown key 'mount'"]),
        ("name: ci\ncgroup: {mount: ro, want: ro}", ["FILE:2:9: the key want or mount is both"]),
        ("name: ci\nsys: {want: rw, policy: hard}", ["FILE:2:25: 'hard' where lenient or strict"]),
        ("name: ci\nno_new_privs: yes", ["FILE:2:15: 'yes' where true or false"]),
        ("name: ci\nno_new_privs:", ["FILE:2:14: nothing where true or false"]),
        ("name: ci\ncapabilities: ALL", ["FILE:2:15: 'ALL' where a mapping"]),
        ("name: ci\ncapabilities: {}", ["FILE:2:15: the key 'grant' is missing"]),
        (
            "name: ci\ncapabilities: {grant: [SYS_ADMN, ALL, KILL, all]}",
            ["FILE:2:24: 'SYS_ADMN' is not a capability (did you mean SYS_ADMIN?)",
             "FILE:2:45: ALL is listed twice"],
        ),
        ("name: ci\ncapabilities: {grant: [64]}", ["FILE:2:24: 64 where a capability name"]),
        ("name: ci\ncapabilities: {grant: CAP_}", ["FILE:2:23: 'CAP_' has no name"]),
        ("name: ci\nmasked_paths: proc", ["FILE:2:15: 'proc' where a list"]),
        ("name: ci\nmasked_paths: [proc, /a, /a]", ["FILE:2:16: 'proc' is not an absolute",
                                                    "FILE:2:26: '/a' is listed twice"]),
        ("name: ci\nlimits: {memory: -1}", ["FILE:2:18: -1 is not from 1"]),
        ("name: ci\nlimits: {memory: 9999999999t}", ["FILE:2:18:", "2**63"]),
        ("name: ci\nlimits: {memory: lots}", ["FILE:2:18: 'lots' where a size"]),
        ("name: ci\nlimits: {cpus: 0}", ["FILE:2:16: 0 is not from 0.01"]),
        ("name: ci\nlimits: {cpus: .inf}", ["FILE:2:16: '.inf' where a number"]),
        ("name: ci\nlimits: {pids: 1.5}", ["FILE:2:16: 1.5 where a whole number"]),
        ("name: ci\nlimits: {pids: true}", ["FILE:2:16: true where a whole number"]),
        ("name: ci\nrlimits: {nofiles: 1}", ["FILE:2:11: unknown key 'nofiles' (did you mean n"]),
        ("name: ci\nrlimits: {nofile: -1}", ["FILE:2:19: -1 is not from 0"]),
        ("name: ci\nrlimits: {nofile: '1:2:3'}", ["FILE:2:19: '1:2:3' is not a limit"]),
        ("name: ci\nextends: nope", ["FILE:2:10: extends 'nope': it is not shipped"]),
        ("name: ci\nextends: ./nope.yaml", ["FILE:2:10: extends './nope.yaml': No such file"]),
        ("name: ci\nextends: ./p.yaml", ["FILE:2:10: it extends itself"]),
        ("name: ci\nextends: [a]", ["FILE:2:10: a list where the name"]),
    ],
)  # fmt: skip
def test_bad_profile_says_what_and_where(
    tmp_path: Path, text: str | bytes, places: list[str]
) -> None:
    cause = cause_of(tmp_path, text)
    for place in places:
        assert place in cause
    assert "FILE:" in cause
    assert "\n" not in cause


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        ("#" * 70_000, "larger than 64 KiB"),
        ("[" * 60_000, "nested more than 16 deep"),
        ("- " * 30_000, "nested more than 16 deep"),
        ("{a: " * 15_000, "nested more than 16 deep"),
        ("a: &a [x]\nb: [" + "*a, " * 100 + "]", "more than 64 aliases"),
        ("name: ci\nmasked_paths: [" + ", ".join(f"/{n}" for n in range(600)) + "]", "600 items"),
        ("name: ci\nmasked_paths: [/" + "x" * 5000 + "]", "is not an absolute path"),
        ("name: ci\n" + "".join(f"k{n}: 1\n" for n in range(1000)), "and 980 more"),
    ],
)
def test_huge_profile_is_refused_quickly_and_briefly(tmp_path: Path, data: str, cause: str) -> None:
    text = cause_of(tmp_path, data)
    assert cause in text
    assert len(text) < 5000


def test_billion_laughs_are_not_expanded(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 31)]
    assert "unknown key" in cause_of(tmp_path, "\n".join(lines))


def test_several_problems_are_told_at_once(tmp_path: Path) -> None:
    cause = cause_of(tmp_path, "nmae: ci\nsys: x\nlimits: {pids: 0}\n")
    for place in ("FILE:1:1: unknown key", "FILE:2:6: 'x'", "FILE:3:16: 0", "'name' is missing"):
        assert place in cause


def test_loop_and_second_level_of_extends_are_told_apart(environ: dict[str, str]) -> None:
    one = put(environ, "one", "name: one\nextends: two\n")
    two = put(environ, "two", "name: two\nextends: one\n")
    with pytest.raises(ProfileError, match=rf"{one}:2:10: a loop: {two} extends this one"):
        load_profile_file(one, environ)
    put(environ, "two", "name: two\nextends: default\n")
    with pytest.raises(ProfileError, match="itself extends 'default'; one level is allowed"):
        load_profile_file(one, environ)


def test_a_bad_base_is_told_at_both_places(environ: dict[str, str]) -> None:
    base = put(environ, "base", "name: base\nsys: x\n")
    path = put(environ, "ci", "name: ci\nextends: base\n")
    with pytest.raises(ProfileError) as caught:
        load_profile_file(path, environ)
    assert f"{path}:2:10: extends 'base': {base}:2:6: 'x'" in caught.value.cause


class TestLookup:
    """Who wins when a name is there more than once, and what is no profile."""

    def test_shipped_names_cannot_be_replaced(self, environ: dict[str, str]) -> None:
        path = put(environ, "minimal", "name: minimal\ncapabilities: {grant: ALL}\n", system=True)
        assert find_profile("minimal", environ) == load_shipped("minimal")
        (hidden,) = [entry for entry in list_profiles(environ) if entry.source == path]
        assert hidden.hidden_by == "built in"

    def test_the_administrator_wins_over_the_user(self, environ: dict[str, str]) -> None:
        system = put(environ, "ci", "name: ci\nroot: ro\n", system=True)
        user = put(environ, "ci", "name: ci\nroot: rw\n")
        assert find_profile("ci", environ).root.want == "ro"
        assert find_profile(user, environ).root.want == "rw"
        hidden = {entry.source: entry.hidden_by for entry in list_profiles(environ)}
        assert hidden == {**hidden, system: "", user: system}

    def test_list_has_the_shipped_ones_first(self, environ: dict[str, str]) -> None:
        put(environ, "zz", "name: zz\n", system=True)
        put(environ, "aa", "name: aa\n")
        put(environ, "Not A Name", "")
        assert [entry.name for entry in list_profiles(environ)] == [*NAMES, "zz", "aa"]

    def test_a_file_must_have_the_name_it_is_found_by(self, environ: dict[str, str]) -> None:
        put(environ, "ci", "name: other\n")
        with pytest.raises(ProfileError, match=r"the name is 'other' and the file 'ci.yaml'"):
            find_profile("ci", environ)

    @pytest.mark.parametrize(
        "name", ["", "X", "a b", "a\nb", "a\0b", ".hidden", "x" * 65, "nope", "\udcff"]
    )
    def test_a_name_that_is_none(self, environ: dict[str, str], name: str) -> None:
        with pytest.raises(ProfileError) as caught:
            find_profile(name, environ)
        assert str(caught.value).isprintable()

    def test_a_name_suggests_the_one_that_was_meant(self, environ: dict[str, str]) -> None:
        with pytest.raises(ProfileError, match=r"did you mean privileged\?"):
            find_profile("priviledged", environ)

    @pytest.mark.parametrize(
        ("path", "cause"),
        [
            ("/nope/x.yaml", "No such file"),
            ("/", "not a regular file"),
            ("/dev/zero", "not a regular file"),
            ("/a\0b", "NUL"),
            ("./" + "x" * 5000, "File name too long"),
        ],
    )
    def test_a_path_that_is_no_profile(self, path: str, cause: str) -> None:
        with pytest.raises(ProfileError, match=cause):
            find_profile(path, {})

    def test_a_named_pipe_does_not_hang(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.yaml"
        os.mkfifo(pipe)
        with pytest.raises(ProfileError, match="not a regular file"):
            find_profile(str(pipe), {})

    def test_directories_follow_the_environment_given(self) -> None:
        assert profile_directories({}) == ("/etc/nestbox/profiles",)
        assert profile_directories({"HOME": "/h"})[1] == "/h/.config/nestbox/profiles"
        both = {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}
        assert profile_directories(both)[1] == "/x/nestbox/profiles"
        relative = {"HOME": "/h", "XDG_CONFIG_HOME": "x"}
        assert profile_directories(relative)[1] == "/h/.config/nestbox/profiles"


def test_shipped_profiles_need_no_yaml() -> None:
    code = (
        "import sys; from nestbox.policy.profile_file import find_profile; "
        "find_profile('default', {}); "
        "sys.exit(any(name in sys.modules for name in ('yaml', 'json', 'difflib')))"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
