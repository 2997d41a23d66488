"""Which engine, orchestrator or machine surrounds us, from what the kernel and it expose.

``read_clues`` looks, ``identify`` concludes: it is pure, so that a recording or a text in a bug
report can be judged again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import msgspec

from nestbox.kernel import procfs, reading
from nestbox.kernel.namespaces import INITIAL_INODE
from nestbox.outer.facts import Engine, EngineKind, Mount
from nestbox.outer.sources import Sources, read_optional


class Clues(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is looked at. Texts are None where a file is absent or unreadable."""

    pid1_name: str | None
    pid1_container: str | None  # the variable "container" of PID 1, else of this process
    kernel_version: str | None  # /proc/version
    cgroup_paths: tuple[str, ...]
    mounts: tuple[Mount, ...]
    bounding: int
    own_namespaces: Mapping[str, int]
    files: Mapping[str, str]  # of those in MARKERS that exist, with their text
    environment: Mapping[str, str]  # of those in RUNNERS and KUBERNETES that are set


MARKERS = (
    "/.dockerenv",
    "/run/.containerenv",
    "/run/systemd/container",
    "/run/host/container-manager",
    "/var/run/secrets/kubernetes.io/serviceaccount/namespace",
    "/sys/firmware/acpi/tables/FACP",
    "/sys/class/dmi/id/product_name",
    "/sys/class/dmi/id/sys_vendor",
    "/etc/os-release",
)

# Variable, runner; those that imitate another one's variables come before it.
RUNNERS = (
    ("FORGEJO_ACTIONS", "forgejo"),
    ("GITEA_ACTIONS", "gitea"),
    ("GITHUB_ACTIONS", "github"),
    ("GITLAB_CI", "gitlab"),
    ("BITBUCKET_BUILD_NUMBER", "bitbucket"),
    ("BUILDKITE", "buildkite"),
    ("CIRCLECI", "circleci"),
    ("CIRRUS_CI", "cirrus"),
    ("CODEBUILD_BUILD_ID", "codebuild"),
    ("DRONE", "drone"),
    ("JENKINS_URL", "jenkins"),
    ("SEMAPHORE", "semaphore"),
    ("TEAMCITY_VERSION", "teamcity"),
    ("TF_BUILD", "azure-pipelines"),
    ("TRAVIS", "travis"),
)
KUBERNETES = "KUBERNETES_SERVICE_HOST"

# The 14 capabilities that docker and containerd give by default.
DEFAULT_BOUNDING = 0xA80425FB

# What /proc/version always says in gVisor, whatever runs below it.
_GVISOR_BUILD = "Sun Jan 10 15:06:54 PST 2016"

# Innermost first: an engine outranks what it runs on.
_ORDER = (
    EngineKind.NESTBOX,
    EngineKind.KUBERNETES,
    EngineKind.PODMAN,
    EngineKind.DOCKER,
    EngineKind.NSPAWN,
    EngineKind.LXC,
    EngineKind.CONTAINERD,
    EngineKind.GVISOR,
    EngineKind.UNKNOWN,
    EngineKind.TALOS,
    EngineKind.WSL,
    EngineKind.FIRECRACKER,
)

_CONTAINER_VARIABLE = {
    "docker": EngineKind.DOCKER,
    "kube": EngineKind.KUBERNETES,
    "lxc": EngineKind.LXC,
    "lxc-libvirt": EngineKind.LXC,
    "nestbox": EngineKind.NESTBOX,
    "oci": EngineKind.PODMAN,
    "podman": EngineKind.PODMAN,
    "systemd-nspawn": EngineKind.NSPAWN,
    "wsl": EngineKind.WSL,
}
_CGROUP_PATTERNS = (
    (re.compile(r"/nestbox[/.-]"), EngineKind.NESTBOX),
    (re.compile(r"/kubepods|kubelet"), EngineKind.KUBERNETES),
    (re.compile(r"/libpod-"), EngineKind.PODMAN),
    (re.compile(r"/docker[/-][0-9a-f]{12,}"), EngineKind.DOCKER),
    (re.compile(r"/(cri-containerd-|nerdctl-|default/)[0-9a-f]{12,}"), EngineKind.CONTAINERD),
    (re.compile(r"/lxc(\.payload[./]|/)"), EngineKind.LXC),
    (re.compile(r"/(systemd-nspawn@|machine\.slice/machine-)"), EngineKind.NSPAWN),
)
_STORAGE_PATTERNS = (
    (re.compile(r"/kubelet/pods/"), EngineKind.KUBERNETES),
    (re.compile(r"/containers/storage/|/overlay-containers/"), EngineKind.PODMAN),
    (re.compile(r"/docker/(overlay2|containers|rootfs|image)/"), EngineKind.DOCKER),
    (re.compile(r"/containerd/|io\.containerd\."), EngineKind.CONTAINERD),
    (re.compile(r"/lxc/"), EngineKind.LXC),
)
_ENGINE_FILES = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
_INITS = {
    "docker-init": EngineKind.DOCKER,
    "catatonit": EngineKind.PODMAN,
    "conmon": EngineKind.PODMAN,
    "lxc-init": EngineKind.LXC,
}

_Finding = tuple[EngineKind, str]


def _from_variable(clues: Clues) -> list[_Finding]:
    """Return what the variable ``container`` says, and the files that systemd keeps it in."""
    findings = []
    places = [("variable container of pid 1", clues.pid1_container)]
    for path in ("/run/systemd/container", "/run/host/container-manager"):
        places.append((path, clues.files.get(path)))
    for place, value in places:
        if value:
            kind = _CONTAINER_VARIABLE.get(value.strip(), EngineKind.UNKNOWN)
            findings.append((kind, f"{place}: {value.strip()}"))
    return findings


def _from_files(clues: Clues) -> list[_Finding]:
    """Return what files of an engine say.

    /.dockerenv is also left in machines that were made from an image, so it counts only together
    with the files that docker mounts into every container.
    """
    findings = []
    podman = clues.files.get("/run/.containerenv")
    if podman is not None:
        engine = re.search(r'^engine="([^"]*)"', podman, re.MULTILINE)
        findings.append(
            (EngineKind.PODMAN, f"/run/.containerenv: {engine[1] if engine else 'it exists'}")
        )
    if "/.dockerenv" in clues.files:
        mounted = any(mount.target in _ENGINE_FILES for mount in clues.mounts)
        kind = EngineKind.DOCKER if mounted else EngineKind.NONE
        note = "it exists" if mounted else "left from an image: docker's mounts are not there"
        findings.append((kind, f"/.dockerenv: {note}"))
    return findings


def _from_kubernetes(clues: Clues) -> list[_Finding]:
    """Return what a pod shows."""
    findings = []
    if KUBERNETES in clues.environment:
        findings.append((EngineKind.KUBERNETES, f"variable {KUBERNETES}: it is set"))
    namespace = clues.files.get("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    if namespace is not None:
        findings.append((EngineKind.KUBERNETES, f"service account: namespace {namespace}"))
    return findings


def _from_cgroup(clues: Clues) -> list[_Finding]:
    """Return what the name of our own cgroup says."""
    findings = []
    for path in clues.cgroup_paths:
        for pattern, kind in _CGROUP_PATTERNS:
            if pattern.search(path):
                findings.append((kind, f"/proc/self/cgroup: {path}"))
                break
    return findings


def _from_storage(clues: Clues) -> list[_Finding]:
    """Return what the layers of the root, and of the files that engines mount, say."""
    findings = []
    for mount in clues.mounts:
        texts = [mount.root] if mount.target in _ENGINE_FILES else []
        if mount.target == "/":
            texts = [mount.root, *mount.super_options]
        for text in texts:
            for pattern, kind in _STORAGE_PATTERNS:
                if pattern.search(text):
                    findings.append((kind, f"mount {mount.target}: {text[:120]}"))
                    break
    return findings


def _from_machine(clues: Clues) -> list[_Finding]:
    """Return what the kernel's version and the firmware say of the machine."""
    findings = []
    version = clues.kernel_version or ""
    if _GVISOR_BUILD in version:
        findings.append((EngineKind.GVISOR, f"/proc/version: built {_GVISOR_BUILD}"))
    if "microsoft" in version.lower():
        findings.append((EngineKind.WSL, "/proc/version: microsoft"))
    if "-talos" in version or re.search(
        r"^ID=\"?talos", clues.files.get("/etc/os-release", ""), re.MULTILINE
    ):
        findings.append((EngineKind.TALOS, "the kernel or /etc/os-release: talos"))
    if "FIRECK" in clues.files.get("/sys/firmware/acpi/tables/FACP", ""):
        findings.append((EngineKind.FIRECRACKER, "acpi table FACP: made by FIRECK"))
    return findings


def _from_isolation(clues: Clues) -> list[_Finding]:
    """Return that this is a container at all, by its namespaces, first process and mask."""
    findings: list[_Finding] = []
    if clues.pid1_name in _INITS:
        findings.append((_INITS[clues.pid1_name], f"pid 1: {clues.pid1_name}"))
    for name, inode in clues.own_namespaces.items():
        initial = INITIAL_INODE.get(name)
        if initial is not None and inode != initial:
            findings.append((EngineKind.UNKNOWN, f"{name} namespace: not the initial one"))
    if clues.bounding == DEFAULT_BOUNDING:
        findings.append(
            (EngineKind.UNKNOWN, f"bounding set {clues.bounding:x}: the engines' default")
        )
    return findings


def runner_of(environment: Mapping[str, str]) -> str | None:
    """Return the CI runner that these environment variables show, None without one."""
    return next((runner for name, runner in RUNNERS if environment.get(name)), None)


def identify(clues: Clues) -> Engine:
    """Return the innermost engine that the clues show, with all that was found as evidence."""
    findings: list[_Finding] = []
    for look in (
        _from_variable,
        _from_files,
        _from_kubernetes,
        _from_cgroup,
        _from_storage,
        _from_isolation,
        _from_machine,
    ):
        findings += look(clues)
    kinds = {kind for kind, _ in findings}
    ranked = {kind: rank for rank, kind in enumerate((*_ORDER, EngineKind.NONE))}
    evidence = [text for _, text in sorted(findings, key=lambda finding: ranked[finding[0]])]
    return Engine(
        kind=next((kind for kind in _ORDER if kind in kinds), EngineKind.NONE),
        evidence=tuple(dict.fromkeys(evidence)),
        runner=runner_of(clues.environment),
    )


def _container_variable(environment: Mapping[str, str]) -> str | None:
    """Return the variable ``container`` of PID 1, else of this process."""
    try:
        block = reading.read_file("/proc/1/environ")
    except OSError:
        block = b""
    for item in block.split(b"\0"):
        if item.startswith(b"container="):
            return procfs.decode(item.removeprefix(b"container="))
    return environment.get("container")


def read_clues(
    sources: Sources, own_namespaces: Mapping[str, int], environment: Mapping[str, str]
) -> Clues:
    """Return what there is to see. Raises EnvironmentUnreadable."""
    texts = {path: read_optional(path) for path in MARKERS}
    files = {path: text for path, text in texts.items() if text is not None}
    if "/.dockerenv" not in files and os.path.exists("/.dockerenv"):
        files["/.dockerenv"] = ""
    wanted = {KUBERNETES, *(name for name, _ in RUNNERS)}
    return Clues(
        pid1_name=read_optional("/proc/1/comm"),
        pid1_container=_container_variable(environment),
        kernel_version=read_optional("/proc/version"),
        cgroup_paths=tuple(line.path for line in sources.cgroups),
        mounts=sources.mounts,
        bounding=sources.status.bounding,
        own_namespaces=own_namespaces,
        files=files,
        environment={name: value for name, value in environment.items() if name in wanted},
    )
