"""The seccomp filter that all launchers get in the second table: nestbox's own default."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import bundle
from bench.programs import NotAvailableError

_PROFILE: Final = Path(__file__).parent.parent / "profiles" / "seccomp" / "default.json"


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """One filter, as a configuration and as the kernel takes it."""

    configuration: dict[str, Any]  # linux.seccomp of a config.json
    program: bytes  # an array of struct sock_filter


def default() -> Filter:
    """Return the filter of nestbox's default profile for the capabilities that are granted here.

    Raises:
        NotAvailableError: nestbox, or its libseccomp, is not built.
    """
    try:
        from nestbox.policy.seccomp import resolve
        from nestbox.runtime.seccomp import compile_filter, read_profile
    except ImportError as error:
        raise NotAvailableError(f"nestbox is not built: {error}") from error
    seccomp = resolve(
        read_profile(str(_PROFILE)),
        capabilities=frozenset(bundle.CAPABILITIES),
        machine=platform.machine(),
        kernel=_kernel(platform.release()),
    )
    compiled = compile_filter(seccomp, cache_directory=None)
    return Filter(configuration=msgspec.to_builtins(seccomp), program=compiled.program)


def _kernel(release: str) -> tuple[int, int]:
    major, minor, *_ = release.replace("-", ".").split(".")
    return int(major), int(minor)
