"""The step that loads the filter of a container: the compiled filter, and what comes before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.kernel.constants import SECCOMP_FILTER_FLAG_SPEC_ALLOW
from nestbox.plan.steps import LoadSeccomp

if TYPE_CHECKING:
    from nestbox.oci.seccomp import LinuxSeccomp


def filter_step(
    seccomp: LinuxSeccomp | None, *, shim: tuple[str, ...], cache_directory: str
) -> LoadSeccomp | None:
    """Return the step for a filter and for the calls that are answered with ENOSYS before it.

    None when there is nothing to load. ``cache_directory`` is where compiled filters are kept.

    Raises:
        ProfileError: the filter contradicts itself or is too large for the kernel.
        Refused: libseccomp is missing.
    """
    program, flags = None, 0
    if seccomp is not None:
        from nestbox.runtime.seccomp import compile_filter

        compiled = compile_filter(seccomp, cache_directory=cache_directory)
        program, flags = compiled.program, int(compiled.flags)
    if shim:
        # As other filters have it by default: no mitigation of speculation for its sake.
        flags = flags if seccomp is not None else SECCOMP_FILTER_FLAG_SPEC_ALLOW
        from nestbox.runtime.seccomp_shim import ALLOW_ALL, prefix_shim

        program = prefix_shim(ALLOW_ALL if program is None else program, shim)
    return None if program is None else LoadSeccomp(program=program, flags=flags)
