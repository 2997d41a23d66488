"""What this runtime can read and do: the document that ``features`` prints.

It follows from the tables alone and says nothing of the machine, as the specification asks: what
is available here is told by ``features --host``.

Source: runtime-spec 1.3, features.md.
"""

from __future__ import annotations

from typing import Final

import msgspec

from nestbox.kernel.capabilities import TABLE as CAPABILITIES
from nestbox.oci.config import OLDEST_VERSION, SPEC_VERSION
from nestbox.oci.hooks import HOOK_KINDS
from nestbox.oci.linux import MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES, NAMESPACES
from nestbox.oci.options import known_options
from nestbox.oci.seccomp import (
    SeccompAction,
    SeccompArchitecture,
    SeccompFlag,
    SeccompOperator,
)
from nestbox.version import VERSION

VERSION_ANNOTATION: Final = "org.nestbox.version"
CHECKPOINT_ANNOTATION: Final = "org.nestbox.checkpoint.enabled"
LIBSECCOMP_ANNOTATION: Final = "io.github.seccomp.libseccomp.version"

# Annotations of a configuration that change what the runtime does on the host: engines must not
# take them from an image. A name that ends with a dot stands for all that begin with it.
UNSAFE_ANNOTATIONS: Final = ("org.criu.config", "org.nestbox.", "org.systemd.property.")


class Enabled(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the runtime that is there as a whole."""

    enabled: bool = True


class CgroupFeatures(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Cgroup versions, managers and controllers."""

    v1: bool = True
    v2: bool = True
    systemd: bool = True
    systemd_user: bool = True
    rdma: bool = True


class SeccompFeatures(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The words of ``linux.seccomp``."""

    enabled: bool = True
    actions: tuple[str, ...] = tuple(sorted(SeccompAction))
    operators: tuple[str, ...] = tuple(sorted(SeccompOperator))
    archs: tuple[str, ...] = tuple(sorted(SeccompArchitecture))
    known_flags: tuple[str, ...] = tuple(SeccompFlag)
    supported_flags: tuple[str, ...] = tuple(SeccompFlag)


class IntelRdtFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of ``linux.intelRdt``."""

    enabled: bool = True
    schemata: bool = True
    monitoring: bool = True


class MemoryPolicyFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """The words of ``linux.memoryPolicy``."""

    modes: tuple[str, ...] = MEMORY_POLICY_MODES
    flags: tuple[str, ...] = MEMORY_POLICY_FLAGS


class MountExtensions(msgspec.Struct, frozen=True, kw_only=True):
    """What mounts can do beside their options."""

    idmap: Enabled = Enabled()


class LinuxFeatures(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is there of ``linux``."""

    namespaces: tuple[str, ...] = tuple(sorted(NAMESPACES))
    capabilities: tuple[str, ...] = tuple(row.name for row in CAPABILITIES)
    cgroup: CgroupFeatures = CgroupFeatures()
    seccomp: SeccompFeatures = SeccompFeatures()
    apparmor: Enabled = Enabled()
    selinux: Enabled = Enabled()
    intel_rdt: IntelRdtFeatures = IntelRdtFeatures()
    memory_policy: MemoryPolicyFeatures = MemoryPolicyFeatures()
    mount_extensions: MountExtensions = MountExtensions()
    net_devices: Enabled = Enabled()


class Features(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole document."""

    oci_version_min: str = msgspec.field(default=OLDEST_VERSION, name="ociVersionMin")
    oci_version_max: str = msgspec.field(default=SPEC_VERSION, name="ociVersionMax")
    hooks: tuple[str, ...] = HOOK_KINDS
    mount_options: tuple[str, ...] = ()
    linux: LinuxFeatures = LinuxFeatures()
    annotations: dict[str, str] = {}
    potentially_unsafe_config_annotations: tuple[str, ...] = UNSAFE_ANNOTATIONS


def features(*, libseccomp: str = "") -> Features:
    """Return the document.

    Args:
        libseccomp: the version of the library that filters are compiled with, when it is known
            without loading it.
    """
    annotations = {VERSION_ANNOTATION: VERSION, CHECKPOINT_ANNOTATION: "true"}
    if libseccomp:
        annotations[LIBSECCOMP_ANNOTATION] = libseccomp
    return Features(mount_options=known_options(), annotations=annotations)


def features_text(*, libseccomp: str = "") -> str:
    """Return the document as JSON, indented by four spaces, with a newline at its end."""
    text = msgspec.json.encode(features(libseccomp=libseccomp))
    return msgspec.json.format(text, indent=4).decode() + "\n"
