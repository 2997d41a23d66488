"""The published JSON Schema and the check agree; the shipped profiles hold to both."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nestbox.kernel.capabilities import mask_of
from nestbox.kernel.rlimits import RLIMITS
from nestbox.policy import shipped_profiles
from nestbox.policy.capability_names import CapabilityName, read_names
from nestbox.policy.decision import Intent
from nestbox.policy.profile import Profile
from nestbox.policy.profile_schema import TABLE, Rlimits, missing_keys, problems, schema
from nestbox.policy.profile_yaml import read_document
from nestbox.policy.shipped_profiles import NAMES, load_shipped, seccomp_file, shipped_text

jsonschema = pytest.importorskip("jsonschema", reason="needs the package jsonschema")

ROOT = Path(__file__).parents[2]
MINIMAL: dict[str, Any] = {"name": "x"}


def document(name: str) -> dict[str, Any]:
    value = read_document((ROOT / "profiles" / f"{name}.yaml").read_bytes(), name).value
    assert isinstance(value, dict)
    return value


def both_say(value: object) -> tuple[bool, bool]:
    """Return whether the schema and the check accept a document."""
    validator = jsonschema.Draft202012Validator(schema())
    return validator.is_valid(value), not problems(value)


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


def test_schema_describes_every_key() -> None:
    described = schema()["properties"]
    assert set(described) == set(TABLE)
    assert all(of["description"].endswith(".") for of in described.values())


@pytest.mark.parametrize("name", NAMES)
def test_shipped_profile_is_valid_complete_and_says_for_whom(name: str) -> None:
    text = (ROOT / "profiles" / f"{name}.yaml").read_text()
    assert text.startswith("# For: ")
    assert both_say(document(name)) == (True, True)
    assert missing_keys(document(name)) == []
    assert document(name)["description"]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_capabilities_are_known_names(name: str) -> None:
    shipped = load_shipped(name)
    assert shipped is not None
    (names,) = read_names(((name, shipped.capabilities.grant),))
    assert len({one.number for one in names}) == len(names)


GOOD: list[dict[str, Any]] = [
    {},
    {"description": "", "extends": "default"},
    {"capabilities": {"grant": "ALL"}},
    {"capabilities": {"grant": ["KILL?", "cap_21"], "policy": "strict", "ambient": True}},
    {"seccomp": {"want": "strict", "policy": "strict", "otherwise": "default"}},
    {"cgroup": {"mount": "rw", "otherwise": "ro"}},
    {"cgroup": {"want": "none"}},
    {"masked_paths": ["/proc/a b"], "readonly_paths": []},
    {"limits": {}},
    {"limits": {"memory": 1, "cpus": 0.01, "pids": 1, "policy": "lenient"}},
    {"limits": {"memory": "512MiB", "cpus": 65536}},
    {"rlimits": {"nofile": 0, "core": "unlimited:5"}},
    {"oom_score_adj": "keep"},
    {"oom_score_adj": -1000},
    {"sysctls": {}},
    {"sysctls": {"net.ipv4.ping_group_range": "0 2147483647", "kernel/msgmax": 8192}},
]
BAD: list[Any] = [
    [], None, "x", {}, {"name": None}, {"name": "X"}, {"name": "x\ny"}, {"name": "x" * 65},
    {"nam": "x"}, {"description": "a\nb"}, {"description": 5}, {"extends": ""}, {"extends": None},
    {"capabilities": "ALL"}, {"capabilities": {}}, {"capabilities": {"grant": None}},
    {"capabilities": {"grant": [5]}}, {"capabilities": {"grant": ["KILL", "KILL"]}},
    {"capabilities": {"grant": "a b"}}, {"capabilities": {"grant": [], "policy": "hard"}},
    {"capabilities": {"grant": [], "ambient": "yes"}}, {"capabilities": {"grant": [], "x": 1}},
    {"seccomp": "unconfigned"}, {"seccomp": True}, {"seccomp": {}}, {"seccomp": {"want": []}},
    {"seccomp": {"policy": "strict"}}, {"seccomp": {"mount": "default"}}, {"seccomp": ["default"]},
    {"cgroup": {"mount": "rw", "want": "rw"}}, {"cgroup": {"otherwise": "ro"}},
    {"sys": {"want": "rw", "otherwise": "no"}}, {"root": 0}, {"masked_paths": "/a"},
    {"masked_paths": ["a"]}, {"masked_paths": ["/a", "/a"]}, {"masked_paths": ["/a\x00"]},
    {"masked_paths": [f"/{n}" for n in range(513)]}, {"no_new_privs": 1}, {"no_new_privs": None},
    {"limits": []}, {"limits": {"memory": 0}}, {"limits": {"memory": "0"}}, {"limits": {"cpus": 0}},
    {"limits": {"memory": 1 << 63}}, {"limits": {"memory": "1.5g"}}, {"limits": {"memory": True}},
    {"limits": {"cpus": "1"}}, {"limits": {"pids": 0}}, {"limits": {"pids": True}},
    {"limits": {"pids": 1.5}}, {"limits": {"policy": None}}, {"limits": {"swap": 1}},
    {"rlimits": {"nofile": -1}}, {"rlimits": {"nofile": "a"}}, {"rlimits": {"RLIMIT_CORE": 1}},
    {"rlimits": {"nofile": None}}, {"rlimits": []},
    {"oom_score_adj": 1001}, {"oom_score_adj": "low"}, {"oom_score_adj": None},
    {"oom_score_adj": True}, {"oom_score_adj": 1.5}, {"sysctls": []}, {"sysctls": {"x": 1}},
    {"sysctls": {"net.x\ty": 1}}, {"sysctls": {"net.x": ""}}, {"sysctls": {"net.x": "1\n2"}},
    {"sysctls": {"net.x": None}}, {"sysctls": {"net.x": [1]}}, {"sysctls": {"net x.y": 1}},
]  # fmt: skip


@pytest.mark.parametrize("extra", GOOD, ids=str)
def test_schema_and_check_accept_the_same(extra: dict[str, Any]) -> None:
    assert both_say(MINIMAL | extra) == (True, True)


@pytest.mark.parametrize("extra", BAD, ids=lambda bad: str(bad)[:60])
def test_schema_and_check_refuse_the_same(extra: Any) -> None:
    named = isinstance(extra, dict) and extra and "name" not in extra
    assert both_say(MINIMAL | extra if named else extra) == (False, False)


@pytest.mark.parametrize("key", [key for key in TABLE if key != "extends"])
@pytest.mark.parametrize("value", [None, 7, "nope", [7], {"x": 1}, [[]], {"want": {}}], ids=str)
def test_schema_and_check_agree_on_anything_anywhere(key: str, value: object) -> None:
    changed = copy.deepcopy(document("default")) | {key: value}
    valid, accepted = both_say(changed)
    assert valid == accepted
    # Only two keys take free text, and one takes a number.
    assert accepted == (
        (value == "nope" and key in ("name", "description"))
        or (value == 7 and key == "oom_score_adj")
    )


def test_rlimit_names_are_those_of_the_kernel_table() -> None:
    assert {f"RLIMIT_{name.upper()}" for name in Rlimits.NAMES} == set(RLIMITS)


def test_default_is_the_common_one() -> None:
    default = load_shipped("default")
    assert default is not None
    (names,) = read_names((("default", default.capabilities.grant),))
    assert mask_of(tuple(one.number for one in names if one.number is not None)) == 0xA80425FB
    assert (default.seccomp.want, default.no_new_privs) == ("default", False)


def test_minimal_is_the_least() -> None:
    minimal, default = load_shipped("minimal"), load_shipped("default")
    assert minimal is not None
    assert default is not None
    assert minimal.capabilities.grant == ()
    assert (minimal.no_new_privs, minimal.root.want, minimal.seccomp.want) == (True, "ro", "strict")
    assert minimal.network.want == "none"
    assert None not in (minimal.limits.memory_bytes, minimal.limits.cpus, minimal.limits.pids)
    assert set(default.masked_paths) <= set(minimal.masked_paths)
    assert set(default.readonly_paths) <= set(minimal.readonly_paths)


def test_privileged_gives_all_there_is() -> None:
    privileged = load_shipped("privileged")
    assert privileged is not None
    (names,) = read_names((("privileged", privileged.capabilities.grant),))
    assert [isinstance(one, CapabilityName) and one.is_all for one in names] == [True]
    assert privileged.capabilities.policy is Intent.LENIENT
    assert (privileged.masked_paths, privileged.readonly_paths) == ((), ())
    wants = [privileged.seccomp.want, privileged.lsm.want, privileged.devices.want]
    assert wants == ["unconfined", "unconfined", "all"]
    assert privileged.cgroup.want == "rw"
    assert privileged.cgroup.otherwise == "ro"


@pytest.mark.parametrize("name", NAMES)
def test_hand_made_decoding_is_that_of_the_type(name: str) -> None:
    form = shipped_profiles.shipped_form(name)
    assert load_shipped(name) == msgspec.convert(form, type=Profile)


def test_loading_a_shipped_profile_is_fast_enough_for_every_launch() -> None:
    best = 1.0
    for _ in range(20):
        begin = time.perf_counter()
        load_shipped("default")
        best = min(best, time.perf_counter() - begin)
    assert best < 0.2e-3


def build(source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Run the compiler of profiles as the build does, where nestbox cannot be imported."""
    script = ROOT / "nestbox" / "policy" / "shipped_build.py"
    return subprocess.run(
        [sys.executable, "-I", str(script), str(source), str(output)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def test_build_makes_what_is_loaded(tmp_path: Path) -> None:
    done = build(ROOT / "profiles", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    for name in NAMES:
        assert (tmp_path / "out" / f"{name}.yaml").read_text() == shipped_text(name)
        made = msgspec.json.decode((tmp_path / "out" / f"{name}.json").read_bytes(), type=Profile)
        assert made == load_shipped(name)
    for name in ("default", "strict"):
        made_filter = tmp_path / "out" / "seccomp" / f"{name}.json"
        assert made_filter.read_bytes() == Path(seccomp_file(name)).read_bytes()
        source = ROOT / "profiles" / "seccomp" / f"{name}.json"
        assert json.loads(made_filter.read_text()) == json.loads(source.read_text())


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("default", "name: default\n", "must have every key"),
        ("default", "name: other\n", "must have the name default"),
        ("extra", "name: extra\nsecomp: x\n", "unknown key 'secomp'"),
        ("extra", "name: [", "shipped_build: while parsing"),
    ],
)
def test_build_fails_for_a_wrong_profile(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    (tmp_path / "default.yaml").write_text((ROOT / "profiles" / "default.yaml").read_text())
    (tmp_path / f"{file}.yaml").write_text(text)
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
