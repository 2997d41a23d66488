"""Changes as flags of docker run, podman run and nestbox run. Pure.

Source: docker-run(1), podman-run(1), ``nestbox run --help``.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from nestbox.doctor.remedies.common import security_options, short_capabilities
from nestbox.policy.change import ChangeKind, values, wanted

if TYPE_CHECKING:
    from nestbox.policy.change import Change

_K: Final = ChangeKind
_COMMON: Final = frozenset(
    {_K.CAPABILITY, _K.SYSTEM_CALLS, _K.APPARMOR, _K.PROC, _K.DEVICE, _K.VOLUME, _K.ROOT_USER}
)
DOCKER_KINDS: Final = _COMMON | {_K.SELINUX, _K.CGROUP, _K.NEW_PRIVILEGES}
PODMAN_KINDS: Final = _COMMON | {_K.SELINUX, _K.CGROUP, _K.NEW_PRIVILEGES}
NESTBOX_KINDS: Final = _COMMON | {_K.CGROUP, _K.NEW_PRIVILEGES}


def docker(changes: tuple[Change, ...]) -> str:
    """Return ``docker run`` with the flags."""
    return _command("docker run", changes, security_options(changes))


def podman(changes: tuple[Change, ...]) -> str:
    """Return ``podman run`` with the flags, whose names for some options are others."""
    names = {
        "systempaths=unconfined": "unmask=ALL",
        "writable-cgroups=true": "",
        "no-new-privileges=false": "",
    }
    options = [names.get(option, option) for option in security_options(changes)]
    extra = ["--cgroupns=private", "--systemd=always"] if wanted(changes, _K.CGROUP) else []
    return _command("podman run", changes, [option for option in options if option], extra)


def nestbox(changes: tuple[Change, ...]) -> str:
    """Return ``nestbox run`` with the flags."""
    names = {"systempaths=unconfined": "unmask=ALL", "label=disable": ""}
    options = [names.get(option, option) for option in security_options(changes)]
    return _command("nestbox run", changes, [option for option in options if option])


def _command(
    program: str, changes: tuple[Change, ...], options: list[str], extra: list[str] | None = None
) -> str:
    words = [program]
    words += [f"--cap-add {name}" for name in short_capabilities(changes)]
    words += [f"--security-opt {option}" for option in options]
    words += [f"--device {shlex.quote(path)}" for path in values(changes, _K.DEVICE)]
    words += [f"-v {shlex.quote(path)}" for path in values(changes, _K.VOLUME)]
    words += extra or []
    if wanted(changes, _K.ROOT_USER):
        words.append("--user 0")
    return " ".join(words)
