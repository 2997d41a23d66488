"""Changes as a compose file. Pure. Source: the Compose Specification, "services"."""

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


def compose(changes: tuple[Change, ...]) -> str:
    """Return the keys of a service, below ``services`` and a name to replace."""
    keys: dict[str, list[str]] = {
        "cap_add": list(short_capabilities(changes)),
        "security_opt": [option.replace("=", ":", 1) for option in security_options(changes)],
        "devices": [f"{path}:{path}" for path in values(changes, _K.DEVICE)],
        "volumes": list(values(changes, _K.VOLUME)),
    }
    lines = ["services:", "  NAME:"]
    for key, listed in keys.items():
        if listed:
            lines += [f"    {key}:", *(f'      - "{one}"' for one in listed)]
    if wanted(changes, _K.ROOT_USER):
        lines.append('    user: "0"')
    return "\n".join(lines)
