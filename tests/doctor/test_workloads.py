"""Workloads: what is shipped, their judges one by one, and files of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nestbox.cli import doctor_workload
from nestbox.doctor.layout import Page
from nestbox.doctor.remedies.remedy import LAYERS
from nestbox.doctor.workloads.judge import SUBJECTS, judge_workload, layer_of
from nestbox.doctor.workloads.needs import judge
from nestbox.doctor.workloads.render import render_verdict
from nestbox.doctor.workloads.workload import (
    NEED_KINDS,
    Need,
    find_workload,
    read_workload,
    shipped_names,
)
from nestbox.errors import ProfileError, UsageError
from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.derived import mount_at
from nestbox.outer.facts import EngineKind, OuterEnvironment, Subject, SubordinateIds, Trial
from nestbox.policy.change import Change, ChangeKind

Load = Callable[[str], OuterEnvironment]
Edit = Callable[[OuterEnvironment], OuterEnvironment]

FAILING = Trial(error="EPERM")
COMPLETE = ("docker-default", "host", "talos-privileged-pod", "unprivileged-user")


def need(kind: str, value: str) -> Need:
    return Need(kind=kind, value=value, why="")


def edited(subject: str, **fields: Any) -> Edit:
    """Return a function that replaces fields of a subject."""

    def edit(environment: OuterEnvironment) -> OuterEnvironment:
        changed = msgspec.structs.replace(getattr(environment, subject), **fields)
        return msgspec.structs.replace(environment, **{subject: changed})

    return edit


def without_capability(name: str) -> Edit:
    def edit(environment: OuterEnvironment) -> OuterEnvironment:
        facts = environment.capabilities
        assert facts is not None
        mask = ~(1 << BY_NAME[name])
        sets = {key: bits & mask for key, bits in msgspec.structs.asdict(facts.sets).items()}
        held = msgspec.structs.replace(facts.sets, **sets)
        return edited("capabilities", sets=held)(environment)

    return edit


def read_only(path: str) -> Edit:
    """Return a function that mounts something read-only at a path."""

    def edit(environment: OuterEnvironment) -> OuterEnvironment:
        mounts = environment.mounts
        assert mounts
        below = mount_at(mounts, path)
        assert below is not None
        more = msgspec.structs.replace(
            below, id=90_000, parent=below.id, target=path, options=("ro",), fstype="overlay"
        )
        return msgspec.structs.replace(environment, mounts=(*mounts, more))

    return edit


def failing_namespaces(field: str) -> Edit:
    def edit(environment: OuterEnvironment) -> OuterEnvironment:
        assert environment.namespaces is not None
        trials = dict.fromkeys(getattr(environment.namespaces, field), FAILING)
        return edited("namespaces", **{field: trials})(environment)

    return edit


def covered_proc(environment: OuterEnvironment) -> OuterEnvironment:
    return read_only("/proc/kcore")(environment)


# For each kind: a need, an environment like a host that lacks it, and what is to be changed.
CASES: dict[str, tuple[Need, Edit, ChangeKind]] = {
    "user": (need("user", "root"), edited("identity", uid=1000), ChangeKind.ROOT_USER),
    "capability": (
        need("capability", "NET_RAW"),
        without_capability("CAP_NET_RAW"),
        ChangeKind.CAPABILITY,
    ),
    "user-namespace": (
        need("user-namespace", "mnt pid"),
        failing_namespaces("create_with_user"),
        ChangeKind.KERNEL,
    ),
    "namespaces": (
        need("namespaces", "mnt pid"),
        failing_namespaces("create"),
        ChangeKind.KERNEL,
    ),
    "calls": (
        need("calls", "unshare"),
        edited("seccomp", mode=2, syscalls={"unshare": FAILING}),
        ChangeKind.SYSTEM_CALLS,
    ),
    "mount": (need("mount", "any"), without_capability("CAP_SYS_ADMIN"), ChangeKind.CAPABILITY),
    "proc": (need("proc", "fresh"), covered_proc, ChangeKind.PROC),
    "writable": (need("writable", "/proc/sys"), read_only("/proc/sys"), ChangeKind.PROC),
    "cgroup": (need("cgroup", "any"), edited("cgroup", hierarchies=()), ChangeKind.CGROUP),
    "root": (
        need("root", "overlay"),
        edited("storage", overlay=FAILING, overlay_tmpfs=FAILING, overlay_tmpfs_directory=FAILING),
        ChangeKind.KERNEL,
    ),
    "disk": (need("disk", "/var/lib/x"), read_only("/var/lib/x"), ChangeKind.VOLUME),
    "device": (need("device", "/dev/null"), edited("devices", nodes={}), ChangeKind.DEVICE),
    "program": (
        need("program", "newuidmap"),
        edited("tools", newuidmap=None),
        ChangeKind.PACKAGE,
    ),
    "subordinate-ids": (
        need("subordinate-ids", "65536"),
        edited("tools", subuid=(SubordinateIds(first=100000, count=65535),)),
        ChangeKind.SUBORDINATE_IDS,
    ),
    "sysctl": (
        need("sysctl", "kernel.yama.ptrace_scope=0"),
        lambda environment: msgspec.structs.replace(
            environment, sysctls={**(environment.sysctls or {}), "kernel.yama.ptrace_scope": "3"}
        ),
        ChangeKind.SYSCTL,
    ),
    "kernel": (need("kernel", "5.12"), edited("kernel", version=(5, 10)), ChangeKind.KERNEL),
}


@pytest.fixture
def host(load: Load) -> OuterEnvironment:
    """Return an environment that lacks nothing of what the cases need."""
    environment = load("host")
    ids = (SubordinateIds(first=100000, count=65536),)
    tools = edited("tools", newuidmap="/usr/bin/newuidmap", subuid=ids, subgid=ids)
    quiet = {**(environment.sysctls or {}), "kernel.yama.ptrace_scope": "0"}
    return msgspec.structs.replace(tools(environment), sysctls=quiet)


def test_every_kind_of_need_has_a_case() -> None:
    assert list(CASES) == list(NEED_KINDS)


@pytest.mark.parametrize("kind", NEED_KINDS)
def test_need_is_met_on_a_host(kind: str, host: OuterEnvironment) -> None:
    assert judge(CASES[kind][0], host) is None


@pytest.mark.parametrize("kind", NEED_KINDS)
def test_need_is_unmet_with_cause_and_change(kind: str, host: OuterEnvironment) -> None:
    one, edit, change = CASES[kind]
    unmet = judge(one, edit(host))
    assert unmet is not None
    assert unmet.cause
    assert [made.kind for made in unmet.changes] == [change]


def test_one_of_several_is_enough(host: OuterEnvironment) -> None:
    several = (need("capability", "NET_RAW"), need("device", "/dev/null"))
    one = Need(kind="any", value="", why="", any_of=several)
    without = edited("devices", nodes={})
    assert judge(one, without(host)) is None
    neither = judge(one, without_capability("CAP_NET_RAW")(without(host)))
    assert neither is not None
    assert len(neither.changes) == 1


def test_user_namespace_below_a_filter_asks_for_no_capability(load: Load) -> None:
    unmet = judge(need("user-namespace", "pid net"), load("docker-default"))
    assert unmet is not None
    assert [change.kind for change in unmet.changes] == [ChangeKind.SYSTEM_CALLS]


@pytest.mark.parametrize("name", shipped_names())
@pytest.mark.parametrize("place", COMPLETE)
def test_shipped_workload_is_judged_everywhere(
    name: str, place: str, load: Load, is_golden: Callable[[str, str], None]
) -> None:
    environment = load(place)
    verdict = judge_workload(find_workload(name), environment)
    text = render_verdict(verdict, Page())
    assert verdict.works == any(not mode.unmet for mode in verdict.modes)
    assert verdict.works or (verdict.remedy and (verdict.remedy.text or verdict.remedy.elsewhere))
    is_golden(f"{place}.for.{name}", text)


def test_shipped_workloads_are_those_that_people_ask_for() -> None:
    assert {
        "dockerd", "dockerd-rootless", "buildkit", "buildkit-rootless", "podman", "buildah",
        "kaniko", "kind", "k3s", "systemd", "wireguard", "fuse", "tcpdump", "strace", "chrome",
    } <= set(shipped_names())  # fmt: skip


@pytest.mark.parametrize("name", shipped_names())
def test_changes_of_a_shipped_workload_are_all_that_is_unmet(name: str, load: Load) -> None:
    for mode in judge_workload(find_workload(name), load("docker-default")).modes:
        asked = {(one.kind, one.value) for unmet in mode.unmet for one in unmet.changes}
        joined = {one for one in asked if one[0] is not ChangeKind.SYSTEM_CALLS}
        assert joined <= {(one.kind, one.value) for one in mode.changes}


def test_remedy_speaks_to_the_layer_around_us_or_the_one_asked_for(load: Load) -> None:
    environment = load("docker-default")
    dockerd = find_workload("dockerd")
    for layer in LAYERS:
        remedy = judge_workload(dockerd, environment, layer).remedy
        assert remedy is not None
        assert remedy.layer == layer
    assert layer_of(environment) == "gitlab"
    engine = environment.engine
    assert engine is not None
    plain = msgspec.structs.replace(engine, runner=None, kind=EngineKind.DOCKER)
    assert layer_of(msgspec.structs.replace(environment, engine=plain)) == "docker"


def test_changes_once_made_are_enough(load: Load) -> None:
    """What tcpdump lacks is given: then it works."""
    environment = load("docker-default")
    lacking = without_capability("CAP_NET_RAW")(environment)
    before = judge_workload(find_workload("tcpdump"), lacking)
    assert before.modes[0].changes == (
        Change(kind=ChangeKind.CAPABILITY, value="CAP_NET_RAW", why="packet sockets"),
    )
    assert judge_workload(find_workload("tcpdump"), environment).works


def test_options_know_every_layer() -> None:
    assert doctor_workload.LAYERS == LAYERS
    assert Subject.CAPABILITIES in SUBJECTS


GOOD = b"name: x\nabout: y\nmodes:\n  a:\n    about: z\n    needs:\n      - {capability: KILL}\n"


def test_a_file_of_ones_own_is_a_workload(tmp_path: Path, host: OuterEnvironment) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(GOOD)
    assert judge_workload(find_workload(str(file)), host).works


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"KILL", b"KIL", "did you mean KILL?"),
        (b"capability:", b"capabilty:", "did you mean capability?"),
        (b"{capability: KILL}", b"{capability: KILL, device: /dev/x}", "one need is expected"),
        (b"{capability: KILL}", b"{kernel: new}", "a version, as 5.12 is expected"),
        (b"{capability: KILL}", b"{any: []}", "there is nothing in it"),
        (b"{capability: KILL}", b"{device: fuse}", "a path below /dev"),
        (b"modes:", b"mode:", "unknown key 'mode'; did you mean modes?"),
        (b"  a:", b"  a: 1\n  b:", "a mapping is expected"),
        (b"name: x", b"name: []", "a text is expected"),
    ],
)
def test_a_bad_file_is_told_with_its_place(old: bytes, new: bytes, words: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read_workload(GOOD.replace(old, new), "x.yaml")
    assert words in caught.value.cause
    assert "x.yaml:" in caught.value.cause


@pytest.mark.parametrize("data", [b"", b"[", b"\xff", b"- 1", b"[" * 50_000, b"a: " * 30_000])
def test_what_is_no_workload_is_refused(data: bytes) -> None:
    with pytest.raises(ProfileError):
        read_workload(data, "x.yaml")


@pytest.mark.parametrize("name", ["/nonexistent.yaml", "/dev/null", "/", "./a\0b", "/dev/zero"])
def test_a_file_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(ProfileError):
        find_workload(name)


def test_an_unknown_name_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(UsageError) as caught:
        find_workload("dokerd")
    assert caught.value.remedy == "did you mean dockerd?"
    assert "buildkit" in caught.value.cause
