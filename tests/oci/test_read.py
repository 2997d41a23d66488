"""Reading configurations: real documents, Go's habits, and bad input of every kind."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from nestbox.errors import ConfigError
from nestbox.oci.config import Config
from nestbox.oci.read import MAX_BYTES, parse_config, parse_process, parse_resources
from nestbox.oci.seccomp import SeccompAction
from nestbox.oci.template import template
from tests.oci.configs import DOCUMENTS, NAMES, document, read


def names_of(value: object) -> Any:
    """Return only the keys of a document, to compare what is known with what is there."""
    if isinstance(value, dict):
        return {key: names_of(item) for key, item in value.items()}
    return [names_of(item) for item in value] if isinstance(value, list) else None


def test_every_field_of_the_specification_is_kept() -> None:
    """The document ``everything`` has each of them; what is unknown is left out."""
    there = document("everything")
    del there["com.example.unknown"], there["process"]["commandLine"]
    del there["linux"]["personality"]["flags"]  # it is empty
    del there["process"]["scheduler"]["nice"], there["process"]["scheduler"]["priority"]
    del there["linux"]["timeOffsets"]["monotonic"]["nanosecs"]
    del there["linux"]["resources"]["devices"][0]["allow"]
    kept = json.loads(msgspec.json.encode(read(document("everything"))))
    del kept["linux"]["resources"]["devices"][0]["allow"]
    for rule in kept["linux"]["resources"]["devices"]:
        for absent in [key for key, value in rule.items() if value is None or value == ""]:
            del rule[absent]
    for device in kept["linux"]["resources"]["blockIO"]["weightDevice"]:
        assert None not in device.values()
    assert names_of(kept) == names_of(there)


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_the_same_after_writing_and_reading(name: str) -> None:
    config = read(document(name))
    assert parse_config(msgspec.json.encode(config), source="again") == config


def test_values_of_docker() -> None:
    config = read(document("docker"))
    linux = config.linux
    assert config.process.oom_score_adj == 0
    assert config.process.capabilities is not None
    assert config.process.capabilities.ambient == ()
    assert config.hooks.prestart[0].timeout is None
    assert linux.resources is not None
    assert linux.resources.pids is not None
    assert linux.resources.pids.limit is None
    assert linux.seccomp is not None
    assert linux.seccomp.default_action is SeccompAction.ERRNO
    assert linux.seccomp.syscalls[3].errno_ret == 38
    assert config.namespace("cgroup") == ""
    assert config.namespace("user") is None


def test_values_of_podman() -> None:
    config = read(document("podman"))
    assert config.process.rlimits[1].hard == (1 << 64) - 1
    assert config.process.user.umask == 0o022
    assert config.namespace("network") == "/run/user/1000/netns/netns-a1"
    assert config.mounts[7].uid_mappings[0].host_id == 100000
    assert config.annotations["io.container.manager"] == "libpod"


def test_absent_differs_from_zero_where_it_matters() -> None:
    least = b'{"ociVersion":"1.0.0","process":{"cwd":"/","args":["x"]},"root":{"path":"r"}}'
    config = parse_config(least, source="config.json")
    process = config.process
    assert process.oom_score_adj is None
    assert process.capabilities is None
    assert process.user.umask is None
    assert config.linux.resources is None
    assert config.linux.seccomp is None
    assert config.mounts == ()


def test_null_is_absent_as_go_reads_it() -> None:
    value = document("docker")
    value["mounts"] = None
    value["hooks"]["poststop"] = None
    value["annotations"] = None
    value["process"]["rlimits"] = None
    value["process"]["capabilities"]["ambient"] = None
    value["linux"]["seccomp"]["syscalls"][0]["args"] = None
    value["linux"]["intelRdt"] = None
    config = read(value)
    assert config.mounts == ()
    assert config.process.rlimits == ()
    assert config.linux.seccomp is not None
    assert len(config.linux.seccomp.syscalls) == 4


@pytest.mark.parametrize(
    "update",
    [
        {"CPU": {"Cpus": "1"}},
        {"cpu": {"cpus": "1"}},
        {"Cpu": {"CPUS": "1", "Shares": None}},
    ],
)
def test_keys_are_found_in_any_case_as_go_finds_them(update: object) -> None:
    found = parse_resources(json.dumps(update).encode(), source="-")
    assert found.cpu is not None
    assert found.cpu.cpus == "1"


def test_a_key_in_another_case_is_found_anywhere_in_a_configuration() -> None:
    value = document("docker")
    value["linux"]["resources"]["hugepageLimits"] = [{"pagesize": "2MB", "limit": 5}]
    value["HostName"] = "other"
    config = read(value)
    assert config.linux.resources is not None
    assert config.linux.resources.hugepage_limits[0].page_size == "2MB"
    assert config.hostname == "other"


def test_keys_that_are_free_keep_their_spelling() -> None:
    value = document("docker")
    value["Hostname"] = "x"
    value["annotations"] = {"Path": "a", "CPU": "b", "path": "c"}
    assert read(value).annotations == {"Path": "a", "CPU": "b", "path": "c"}


def test_no_two_keys_differ_in_their_case_alone() -> None:
    """Else one of them would be taken for the other."""
    names = set(re.findall(r'"(\w+)":', (DOCUMENTS / "everything.json").read_text()))
    assert len(names) == len({name.lower() for name in names})


@pytest.mark.parametrize("seccomp", [{}, {"defaultAction": ""}, {"defaultAction": "", "flags": []}])
def test_an_empty_filter_is_none(seccomp: object) -> None:
    value = document("docker")
    value["linux"]["seccomp"] = seccomp
    assert read(value).linux.seccomp is None


@pytest.mark.parametrize("field", ["annotations", "linux.sysctl", "linux.netDevices"])
def test_null_under_a_free_key_is_no_absent_field(field: str) -> None:
    """What is left out here would be a device that is not moved or a limit that is not set."""
    value = document("docker")
    place = value
    for key in field.split("."):
        place = place.setdefault(key, {})
    place["x"] = None
    with pytest.raises(ConfigError, match=rf"\$\.{field}"):
        read(value)


def test_a_configuration_without_a_process_is_one() -> None:
    value = document("docker")
    assert read(value).has_process
    del value["process"]
    assert not read(value).has_process


def limits(**resources: object) -> dict[str, object]:
    return {"linux": {"resources": resources}}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("$.process.args[1]", {"process": {"args": ["a", None], "cwd": "/"}}),
        ("$.process.args", {"process": {"args": "sh", "cwd": "/"}}),
        ("$.process.user.uid", {"process": {"user": {"uid": -1}}}),
        ("$.process.user.gid", {"process": {"user": {"gid": 1 << 32}}}),
        ("$.process.user.uid", {"process": {"user": {"uid": "root"}}}),
        ("$.process.user.uid", {"process": {"user": {"uid": 1.5}}}),
        ("$.process.terminal", {"process": {"terminal": "yes"}}),
        ("$.process.rlimits[0].soft", {"process": {"rlimits": [{"type": "x", "soft": -1}]}}),
        ("$.process.oomScoreAdj", {"process": {"oomScoreAdj": 1 << 31}}),
        ("$.mounts[0]", {"mounts": [{"type": "proc"}]}),
        ("$.linux.namespaces[0]", {"linux": {"namespaces": ["pid"]}}),
        ("$.linux.resources.blockIO.weight", limits(blockIO={"weight": 65536})),
        ("$.linux.resources.memory.limit", limits(memory={"limit": 1 << 63})),
        ("$.linux.seccomp.defaultAction", {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_NO"}}}),
        ("$.annotations[...]", {"annotations": {"a": 1}}),
        ("$.hooks.prestart[0].timeout", {"hooks": {"prestart": [{"timeout": "1s"}]}}),
        ("$", {"root": None}),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_with_its_place(place: str, value: Any) -> None:
    base = json.loads(template(cgroup_namespace=False))
    with pytest.raises(ConfigError) as caught:
        read({**base, **value})
    assert caught.value.cause.startswith(f"{place}: ")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"[]", "expected `object`"),
        (b"null", "expected `object`"),
        (b'{"ociVersion": }', "not valid JSON"),
        (b'{"ociVersion":\n"1.0.0",\n oops}', "line 3"),
        (b'{"root": {}} {}', "trailing"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"ignored": "\xff"}', "line 1 is not UTF-8"),
        (b'{"hostname": "\n\xc3("}', "line 2 is not UTF-8"),
        (b'{"hostname": "\\ud800"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (b'{"process": NaN}', "not valid JSON"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, cause: str) -> None:
    with pytest.raises(ConfigError, match="cannot use the configuration") as caught:
        parse_config(data, source="c.json")
    assert cause in caught.value.cause


def test_a_document_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than 32 MiB"):
        parse_config(b" " * (MAX_BYTES + 1), source="config.json")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("hostname", "$.hostname"),
        ("process.cwd", "$.process.cwd"),
        ("linux.cgroupsPath", "$.linux.cgroupsPath"),
        ("annotations.a", "$.annotations.a"),
    ],
)
def test_nul_is_refused(path: str, place: str) -> None:
    value = document("docker")
    *parents, last = path.split(".")
    inner = value
    for key in parents:
        inner = inner.setdefault(key, {})
    inner[last] = "a\0b"
    with pytest.raises(ConfigError) as caught:
        read(value)
    assert caught.value.cause.startswith(f"{place}: has a NUL")


def test_nul_in_a_key_and_in_a_list_is_refused() -> None:
    value = document("docker")
    value["process"]["args"] = ["a", "b\0"]
    with pytest.raises(ConfigError, match=r"\$\.process\.args\[1\]"):
        read(value)
    with pytest.raises(ConfigError, match="NUL"):
        read({**document("docker"), "annotations": {"a\0": ""}})


def test_a_backslash_before_u0000_is_no_nul() -> None:
    value = document("docker")
    value["hostname"] = "\\u0000"
    assert read(value).hostname == "\\u0000"


def test_the_process_of_an_exec() -> None:
    data = json.dumps(document("everything")["process"]).encode()
    process = parse_process(data, source="process.json")
    assert process == read(document("everything")).process
    assert process.exec_cpu_affinity is not None
    assert process.io_priority is not None
    assert process.io_priority.io_class == "IOPRIO_CLASS_BE"
    with pytest.raises(ConfigError, match=r"\$\.cwd"):
        parse_process(b'{"cwd": 1}', source="process.json")


def test_the_resources_of_an_update() -> None:
    data = json.dumps(document("everything")["linux"]["resources"]).encode()
    assert parse_resources(data, source="-") == read(document("everything")).linux.resources
    assert parse_resources(b'{"memory": {"limit": null}}', source="-").memory is not None
    with pytest.raises(ConfigError, match=r"\$\.cpu\.shares"):
        parse_resources(b'{"cpu": {"shares": "many"}}', source="-")


def test_a_configuration_cannot_be_changed() -> None:
    config = read(document("docker"))
    with pytest.raises(AttributeError):
        config.hostname = "other"  # type: ignore[misc] # what this is about


def test_documents_are_decoded_without_the_slow_way() -> None:
    """What engines write fits at once; only null needs the second reading."""
    for name in NAMES:
        msgspec.json.decode((DOCUMENTS / f"{name}.json").read_bytes(), type=Config)
