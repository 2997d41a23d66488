"""Changes as text for each layer, read by a parser of that layer's format."""

from __future__ import annotations

import configparser
import shlex
import tomllib
from typing import Any

import pytest
import yaml

from nestbox.doctor.remedies.remedy import LAYERS, remedy_for
from nestbox.policy.change import Change, ChangeKind, risk

K = ChangeKind

ADMIN = Change(kind=K.CAPABILITY, value="CAP_SYS_ADMIN")
NET = Change(kind=K.CAPABILITY, value="CAP_NET_ADMIN")
CALLS = Change(kind=K.SYSTEM_CALLS, value="mount umount2")
PROC = Change(kind=K.PROC)
CGROUP = Change(kind=K.CGROUP)
FUSE = Change(kind=K.DEVICE, value="/dev/fuse")
VOLUME = Change(kind=K.VOLUME, value="/var/lib/docker")
SYSCTL = Change(kind=K.SYSCTL, value="user.max_user_namespaces=15000")
IDS = Change(kind=K.SUBORDINATE_IDS, value="builder")

EVERY = tuple(
    Change(kind=kind, value={K.CAPABILITY: "CAP_KILL", K.SYSCTL: "a.b=1"}.get(kind, "/x"))
    for kind in ChangeKind
)


@pytest.mark.parametrize("layer", LAYERS)
def test_nothing_to_change_is_nothing_to_paste(layer: str) -> None:
    remedy = remedy_for(layer, ())
    assert (remedy.text, remedy.elsewhere, remedy.risks) == ("", (), ())


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("change", EVERY, ids=lambda change: str(change.kind))
def test_every_change_is_told_somewhere(layer: str, change: Change) -> None:
    remedy = remedy_for(layer, (change,))
    assert bool(remedy.text) != bool(remedy.elsewhere)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_risk_is_told_wherever_there_is_one(layer: str) -> None:
    remedy = remedy_for(layer, EVERY)
    assert len(remedy.risks) == sum(bool(risk(change)) for change in EVERY)


def test_docker_flags_are_words_of_its_command() -> None:
    words = shlex.split(remedy_for("docker", (ADMIN, NET, CALLS, PROC, FUSE, VOLUME)).text)
    assert words[:2] == ["docker", "run"]
    pairs = list(zip(words[2::2], words[3::2], strict=True))
    assert pairs == [
        ("--cap-add", "SYS_ADMIN"),
        ("--cap-add", "NET_ADMIN"),
        ("--security-opt", "seccomp=unconfined"),
        ("--security-opt", "systempaths=unconfined"),
        ("--device", "/dev/fuse"),
        ("-v", "/var/lib/docker"),
    ]


def test_podman_has_other_names_for_some() -> None:
    assert "--security-opt unmask=ALL" in remedy_for("podman", (PROC,)).text
    assert "writable-cgroups" not in remedy_for("podman", (CGROUP,)).text


def test_compose_is_a_service() -> None:
    service = yaml.safe_load(remedy_for("compose", (ADMIN, CALLS, FUSE, VOLUME)).text)
    assert service == {
        "services": {
            "NAME": {
                "cap_add": ["SYS_ADMIN"],
                "security_opt": ["seccomp:unconfined"],
                "devices": ["/dev/fuse:/dev/fuse"],
                "volumes": ["/var/lib/docker"],
            }
        }
    }


def test_kubernetes_is_a_pod_and_its_device_is_left_to_others() -> None:
    remedy = remedy_for("kubernetes", (ADMIN, CALLS, PROC, VOLUME, FUSE))
    spec = yaml.safe_load(remedy.text)["spec"]
    (container,) = spec["containers"]
    assert spec["hostUsers"] is False
    assert container["securityContext"] == {
        "capabilities": {"add": ["SYS_ADMIN"]},
        "seccompProfile": {"type": "Unconfined"},
        "procMount": "Unmasked",
    }
    (mount,) = container["volumeMounts"]
    assert [volume["name"] for volume in spec["volumes"]] == [mount["name"]]
    assert any("/dev/fuse" in line for line in remedy.elsewhere)


def test_runner_scale_set_has_the_pod_in_its_template() -> None:
    values: dict[str, Any] = yaml.safe_load(remedy_for("arc", (ADMIN,)).text)
    assert values["template"]["spec"]["containers"][0]["name"] == "runner"


def test_gitlab_is_toml() -> None:
    parsed = tomllib.loads(remedy_for("gitlab", (ADMIN, CALLS, FUSE, VOLUME)).text)
    (runner,) = parsed["runners"]
    assert runner["docker"] == {
        "cap_add": ["SYS_ADMIN"],
        "security_opt": ["seccomp:unconfined"],
        "devices": ["/dev/fuse"],
        "volumes": ["/var/lib/docker"],
    }


def test_systemd_is_a_service_section() -> None:
    parser = configparser.ConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(remedy_for("systemd", (ADMIN, NET, CALLS, CGROUP)).text)
    assert dict(parser["Service"]) == {
        "CapabilityBoundingSet": "CAP_SYS_ADMIN CAP_NET_ADMIN",
        "AmbientCapabilities": "CAP_SYS_ADMIN CAP_NET_ADMIN",
        "SystemCallFilter": "mount umount2",
        "Delegate": "yes",
        "ProtectControlGroups": "no",
    }


def test_talos_takes_sysctls_and_no_capabilities() -> None:
    remedy = remedy_for("talos", (SYSCTL, ADMIN))
    assert yaml.safe_load(remedy.text) == {
        "machine": {"sysctls": {"user.max_user_namespaces": "15000"}}
    }
    assert remedy.elsewhere == ("CAP_SYS_ADMIN: this layer cannot give it",)


def test_lxc_keys_have_the_form_of_its_configuration() -> None:
    lines = remedy_for("lxc", (ADMIN, CALLS, PROC, CGROUP, FUSE)).text.splitlines()
    keys = [line.partition("=")[0].strip() for line in lines if not line.startswith("#")]
    assert all(key.startswith("lxc.") for key in keys)
    assert "lxc.mount.auto = proc:rw sys:rw cgroup:rw:force" in lines


def test_what_no_engine_can_say_is_said_in_words() -> None:
    remedy = remedy_for("docker", (SYSCTL, IDS))
    assert remedy.text == ""
    assert remedy.elsewhere == (
        "on the machine, as root: sysctl -w user.max_user_namespaces=15000",
        "add the line builder:100000:65536 to /etc/subuid and to /etc/subgid",
    )
