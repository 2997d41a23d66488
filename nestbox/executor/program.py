"""The executor as a sealed copy in memory, so that nothing can write to the file it came from.

A container could otherwise reach the host's binary through /proc/PID/exe while it runs as the
container's init (CVE-2019-5736).
"""

from __future__ import annotations

import errno
import fcntl
import os
from _thread import allocate_lock  # the module threading takes half a millisecond to load

from nestbox.errors import LaunchError

_PATH = os.path.join(os.path.dirname(__file__), "nestbox-init")
_CHUNK = 1 << 20

# Linux 6.3: asks for what vm.memfd_noexec would take away; older kernels do not know the flag.
_MFD_EXEC = 0x10

# Source: include/uapi/linux/fcntl.h; Python's fcntl has them since 3.8 as F_SEAL_*.
_F_SEAL_EXEC = 0x20
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

_lock = allocate_lock()
_copy: int | None = None


def sealed_program() -> int:
    """Return a descriptor of the sealed copy, made once for this process.

    Raises:
        LaunchError: the executor is not installed or cannot be copied.
    """
    global _copy  # noqa: PLW0603 - one copy serves every launch, and sealing makes it a constant
    with _lock:
        if _copy is None:
            _copy = _make_copy()
        return _copy


def _make_copy() -> int:
    try:
        source = os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LaunchError(
            "cannot start the executor",
            cause=f"{_PATH}: {error.strerror}",
            remedy="install nestbox again: its installation is incomplete",
        ) from error
    try:
        return _copy_of(source)
    except OSError as error:
        raise LaunchError(
            "cannot start the executor",
            cause=f"it cannot be copied into memory: {error.strerror}",
            remedy="allow memfd_create(2) and free some memory",
        ) from error
    finally:
        os.close(source)


def _executable_memfd(flags: int) -> int:
    try:
        return os.memfd_create("nestbox-init", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create("nestbox-init", flags)


def _seal(target: int) -> None:
    """Forbid every change, of the mode too where the kernel can (Linux 6.3)."""
    try:
        fcntl.fcntl(target, fcntl.F_ADD_SEALS, _SEALS | _F_SEAL_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fcntl.fcntl(target, fcntl.F_ADD_SEALS, _SEALS)


def _copy_of(source: int) -> int:
    target = _executable_memfd(os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        while chunk := os.read(source, _CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(target, view) :]
        os.fchmod(target, 0o500)
        _seal(target)
    except OSError:
        os.close(target)
        raise
    return target
