"""Changes as a GitLab runner's configuration. Pure.

Source: GitLab Runner, "Advanced configuration", the [runners.docker] section.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.doctor.remedies.common import security_options, short_capabilities
from nestbox.policy.change import ChangeKind, values, wanted

if TYPE_CHECKING:
    from nestbox.policy.change import Change

_K: Final = ChangeKind
KINDS: Final = frozenset(
    {
        _K.CAPABILITY, _K.SYSTEM_CALLS, _K.APPARMOR, _K.SELINUX, _K.PROC, _K.CGROUP, _K.DEVICE,
        _K.VOLUME, _K.ROOT_USER, _K.NEW_PRIVILEGES,
    }
)  # fmt: skip


def config_toml(changes: tuple[Change, ...]) -> str:
    """Return the keys of the docker executor, for ``/etc/gitlab-runner/config.toml``."""
    options = [option.replace("=", ":", 1) for option in security_options(changes)]
    keys = {
        "cap_add": list(short_capabilities(changes)),
        "security_opt": options,
        "devices": list(values(changes, _K.DEVICE)),
        "volumes": list(values(changes, _K.VOLUME)),
    }
    lines = ["[[runners]]", "  [runners.docker]"]
    for key, listed in keys.items():
        if listed:
            quoted = ", ".join(f'"{one}"' for one in listed)
            lines.append(f"    {key} = [{quoted}]")
    if wanted(changes, _K.ROOT_USER):
        lines.append('    user = "0"')
    return "\n".join(lines)
