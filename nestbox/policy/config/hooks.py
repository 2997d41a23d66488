"""Hooks as programs to run. Pure. Source: runtime-spec config.md "POSIX-platform Hooks"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.policy.launch_spec import HookSpec

if TYPE_CHECKING:
    from nestbox.oci.hooks import Hook


def hook_specs(hooks: tuple[Hook, ...], environment: tuple[str, ...] = ()) -> tuple[HookSpec, ...]:
    """Return the programs; one without variables of its own gets ``environment``."""
    return tuple(
        HookSpec(
            path=hook.path,
            argv=hook.args or (hook.path,),
            environment=hook.env or environment,
            timeout_seconds=hook.timeout,
        )
        for hook in hooks
    )
