"""The engine around us, concluded from the traces that engines leave."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.kernel.namespaces import INITIAL_INODE
from nestbox.outer.engine import Clues, identify, read_clues, runner_of
from nestbox.outer.facts import EngineKind, Mount
from nestbox.outer.sources import Sources

ID = "0123456789abcdef" * 4
INITIAL = {name: inode for name, inode in INITIAL_INODE.items() if inode is not None}
INSIDE = {**INITIAL, "pid": 4026532281, "uts": 4026532279, "ipc": 4026532280}

HOST = Clues(
    pid1_name="systemd",
    pid1_container=None,
    kernel_version="Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org)",
    cgroup_paths=("/user.slice/user-1000.slice/session-3.scope",),
    mounts=(),
    bounding=0x1FFFFFFFFFF,
    own_namespaces=INITIAL,
    files={},
    environment={},
)


def _mount(target, root="/", super_options=("rw",)):
    return Mount(
        id=1,
        parent=0,
        device="0:1",
        root=root,
        target=target,
        options=("rw",),
        propagation=(),
        fstype="overlay",
        source="overlay",
        super_options=super_options,
    )


def _clues(**changes):
    return msgspec.structs.replace(HOST, **changes)


DOCKER_ROOT = _mount("/", super_options=("rw", "lowerdir=/var/lib/docker/overlay2/l/ABC:x"))
DOCKER_HOSTS = _mount("/etc/hosts", root=f"/var/lib/docker/containers/{ID}/hosts")


def test_a_plain_host_has_no_engine():
    engine = identify(HOST)
    assert engine.kind is EngineKind.NONE
    assert engine.evidence == ()
    assert engine.runner is None


@pytest.mark.parametrize(
    ("clues", "kind"),
    [
        (_clues(cgroup_paths=(f"/system.slice/docker-{ID}.scope",)), EngineKind.DOCKER),
        (_clues(cgroup_paths=(f"/docker/{ID}",)), EngineKind.DOCKER),
        (_clues(mounts=(DOCKER_ROOT,), own_namespaces=INSIDE), EngineKind.DOCKER),
        (_clues(mounts=(DOCKER_HOSTS,), own_namespaces=INSIDE), EngineKind.DOCKER),
        (
            _clues(files={"/.dockerenv": ""}, mounts=(_mount("/etc/hostname"),)),
            EngineKind.DOCKER,
        ),
        (_clues(files={"/run/.containerenv": 'engine="podman-4.3.1"\n'}), EngineKind.PODMAN),
        (_clues(pid1_container="podman"), EngineKind.PODMAN),
        (_clues(cgroup_paths=(f"/machine.slice/libpod-{ID}.scope",)), EngineKind.PODMAN),
        (_clues(environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}), EngineKind.KUBERNETES),
        (
            _clues(
                cgroup_paths=(f"/kubepods/burstable/pod1/{ID}",),
                mounts=(_mount("/etc/hosts", root="/var/lib/kubelet/pods/1/etc-hosts"),),
            ),
            EngineKind.KUBERNETES,
        ),
        (_clues(cgroup_paths=(f"/default/{ID}",), own_namespaces=INSIDE), EngineKind.CONTAINERD),
        (_clues(pid1_container="lxc"), EngineKind.LXC),
        (_clues(cgroup_paths=("/lxc.payload.c1/init.scope",)), EngineKind.LXC),
        (_clues(files={"/run/systemd/container": "systemd-nspawn"}), EngineKind.NSPAWN),
        (_clues(pid1_container="nestbox", own_namespaces=INSIDE), EngineKind.NESTBOX),
        (
            _clues(kernel_version="Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"),
            EngineKind.GVISOR,
        ),
        (
            _clues(kernel_version="Linux version 5.15.1-microsoft-standard-WSL2"),
            EngineKind.WSL,
        ),
        (_clues(kernel_version="Linux version 6.12.6-talos"), EngineKind.TALOS),
        (
            _clues(files={"/sys/firmware/acpi/tables/FACP": "FACP\x14FIRECKFCVMFADT"}),
            EngineKind.FIRECRACKER,
        ),
        (_clues(own_namespaces=INSIDE), EngineKind.UNKNOWN),
        (_clues(bounding=0xA80425FB), EngineKind.UNKNOWN),
        (_clues(pid1_container="something-new"), EngineKind.UNKNOWN),
    ],
)
def test_each_engine_is_known_by_its_own_traces(clues, kind):
    engine = identify(clues)
    assert engine.kind is kind
    assert engine.evidence


def test_the_innermost_engine_wins_and_all_evidence_is_kept():
    engine = identify(
        _clues(
            files={
                "/.dockerenv": "",
                "/sys/firmware/acpi/tables/FACP": "FIRECK",
            },
            mounts=(DOCKER_ROOT, DOCKER_HOSTS),
            cgroup_paths=("/",),
            own_namespaces=INSIDE,
        )
    )
    assert engine.kind is EngineKind.DOCKER
    text = "\n".join(engine.evidence)
    assert "/.dockerenv" in engine.evidence[0]
    assert "FIRECK" in text
    assert "pid namespace" in text


def test_a_docker_marker_left_in_a_machine_s_image_is_no_docker():
    engine = identify(_clues(files={"/.dockerenv": ""}))
    assert engine.kind is EngineKind.NONE
    assert engine.evidence == ("/.dockerenv: left from an image: docker's mounts are not there",)


@pytest.mark.parametrize(
    ("variables", "runner"),
    [
        ({}, None),
        ({"GITLAB_CI": "true"}, "gitlab"),
        ({"GITHUB_ACTIONS": "true"}, "github"),
        ({"GITHUB_ACTIONS": "true", "FORGEJO_ACTIONS": "true"}, "forgejo"),
        ({"GITLAB_CI": ""}, None),
    ],
)
def test_a_ci_runner_is_known_by_its_variable(variables, runner):
    assert runner_of(variables) == runner
    assert identify(_clues(environment=variables)).runner == runner


def test_clues_hold_no_other_variable_than_those_that_are_looked_at():
    environment = {"GITLAB_CI": "true", "SECRET_TOKEN": "secret", "PATH": "/bin"}
    clues = read_clues(Sources(), INITIAL, environment)
    assert clues.environment == {"GITLAB_CI": "true"}
