"""The features document follows from the tables."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nestbox.kernel.capabilities import TABLE as CAPABILITIES
from nestbox.kernel.namespaces import FLAG
from nestbox.oci.features import features, features_text
from nestbox.oci.hooks import HOOK_KINDS, Hook, Hooks, hooks_of
from nestbox.oci.linux import NAMESPACES
from nestbox.oci.options import known_options
from nestbox.version import VERSION


def test_the_document() -> None:
    found = json.loads(features_text(libseccomp="2.5.4"))
    assert found["ociVersionMin"] == "1.0.0"
    assert found["ociVersionMax"] == "1.3.0"
    assert found["hooks"] == [
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
    ]  # fmt: skip
    assert found["mountOptions"] == [*known_options()]
    assert found["annotations"] == {
        "org.nestbox.version": VERSION,
        "org.nestbox.checkpoint.enabled": "true",
        "io.github.seccomp.libseccomp.version": "2.5.4",
    }
    linux = found["linux"]
    assert linux["namespaces"] == [
        "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
    ]  # fmt: skip
    assert linux["capabilities"] == [row.name for row in CAPABILITIES]
    assert {*linux["cgroup"]} == {"v1", "v2", "systemd", "systemdUser", "rdma"}
    assert {*linux["seccomp"]} == {
        "enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags",
    }  # fmt: skip
    assert "SCMP_ACT_NOTIFY" in linux["seccomp"]["actions"]
    assert "SCMP_ARCH_X86_64" in linux["seccomp"]["archs"]
    assert linux["intelRdt"] == {"enabled": True, "schemata": True, "monitoring": True}
    assert linux["mountExtensions"] == {"idmap": {"enabled": True}}
    assert "MPOL_WEIGHTED_INTERLEAVE" in linux["memoryPolicy"]["modes"]
    assert linux["memoryPolicy"]["flags"]
    for part in ("apparmor", "selinux", "netDevices"):
        assert linux[part] == {"enabled": True}
    assert "org.systemd.property." in found["potentiallyUnsafeConfigAnnotations"]


def test_it_does_not_claim_to_be_another_runtime() -> None:
    assert not any(key.startswith("org.opencontainers.runc") for key in features().annotations)


def test_a_library_that_is_not_known_is_not_named() -> None:
    assert "io.github.seccomp.libseccomp.version" not in features().annotations


def test_the_library_is_not_loaded_for_it() -> None:
    code = (
        "from nestbox.oci.features import features_text; features_text()\n"
        "print('libseccomp' in open('/proc/self/maps').read())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_namespace_is_one_that_the_kernel_has() -> None:
    assert {*NAMESPACES.values()} == {*FLAG}


def test_hooks_are_found_by_the_name_of_their_kind() -> None:
    hook = Hook(path="/x")
    hooks = Hooks(create_container=(hook,))
    assert hooks_of(hooks, "createContainer") == (hook,)
    assert [kind for kind in HOOK_KINDS if hooks_of(hooks, kind)] == ["createContainer"]
    with pytest.raises(ValueError, match="x"):
        hooks_of(hooks, "createcontainer")
