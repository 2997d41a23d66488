"""What to change in the engine around us so that its seccomp filter allows system calls. Pure.

Capabilities have their own table: capability_remedies.
Other aspects have the remedies of their decisions.
"""

from __future__ import annotations

from typing import Final

from nestbox.outer.facts import EngineKind

_UNCONFINED: Final = "--security-opt seccomp=unconfined, or a profile that allows {names}"
_POD: Final = "set in the pod: securityContext.seccompProfile.type: Unconfined"
_OTHERWISE: Final = "allow {names} in the seccomp filter of what started this process"

# Source: docker-run(1), podman-run(1), the Kubernetes API reference of securityContext,
# lxc.container.conf(5), systemd-nspawn(1).
_BY_ENGINE: Final = {
    EngineKind.DOCKER: f"start the outer container with: docker run {_UNCONFINED}",
    EngineKind.PODMAN: f"start the outer container with: podman run {_UNCONFINED}",
    EngineKind.NESTBOX: f"start the outer container with: nestbox run {_UNCONFINED}",
    EngineKind.CONTAINERD: "start the outer container without --seccomp, or allow {names} in its "
    "filter",
    EngineKind.KUBERNETES: _POD,
    EngineKind.TALOS: _POD,
    EngineKind.LXC: "allow {names} in the file that lxc.seccomp.profile names",
    EngineKind.NSPAWN: "start the outer container with: systemd-nspawn "
    "--system-call-filter='{words}'",
    EngineKind.GVISOR: "use a runtime class without gVisor, whose kernel does not have {names}",
}


def allow_syscalls(names: tuple[str, ...], engine: EngineKind) -> str:
    """Return the smallest setting of the engine that lets these system calls reach the kernel."""
    text = _BY_ENGINE.get(engine, _OTHERWISE)
    return text.format(names=", ".join(names), words=" ".join(names))
