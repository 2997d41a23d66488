"""Values of ``hooks``: programs that run at six points of a container's life.

Source: runtime-spec 1.3, config.md, "POSIX-platform Hooks".
"""

from typing import Final

import msgspec

from nestbox.oci.numbers import Int64


class Hook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One program; ``args`` begins with its own name, and ``timeout`` is in seconds."""

    path: str = ""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: Int64 | None = None  # None waits without end


class Hooks(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The hooks by kind, in the order in which the kinds run."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


# The kinds as config.json and ``features`` spell them, in the order in which they run.
HOOK_KINDS: Final[tuple[str, ...]] = Hooks.__struct_encode_fields__


def hooks_of(hooks: Hooks, kind: str) -> tuple[Hook, ...]:
    """Return the hooks of one kind, such as ``createRuntime``, in their order.

    Raises:
        ValueError: there is no such kind.
    """
    found: tuple[Hook, ...] = getattr(hooks, Hooks.__struct_fields__[HOOK_KINDS.index(kind)])
    return found
