"""Starting a program of the outer environment that works for a container and dies with us."""

from __future__ import annotations

import os

from nestbox.kernel._syscalls import ffi, lib


def start_helper(
    arguments: list[str],
    *,
    environment: tuple[str, ...],
    output: int,
    kept: tuple[int, ...],
    directory: int = -1,
) -> tuple[int, int]:
    """Return pid and pidfd of a program, whose path is the first of its arguments.

    It works in ``/``, or in a directory that is open, in a session of its own, reads nothing and
    writes to ``output``; of our descriptors it has those that are ``kept``, under their numbers. It
    is killed when the calling thread ends. The caller waits for it.

    Raises:
        OSError: it cannot be executed; nothing is left behind.
    """
    words, variables = (
        [ffi.new("char[]", os.fsencode(text)) for text in texts]
        for texts in (arguments, environment)
    )
    # The lists hold what the structures only point at.
    argv, env = (ffi.new("char *[]", [*texts, ffi.NULL]) for texts in (words, variables))
    numbers = ffi.new("int32_t[]", kept)
    request = ffi.new(
        "struct nb_helper *",
        {
            "program": words[0],
            "arguments": argv,
            "environment": env,
            "kept": numbers,
            "kept_count": len(kept),
            "directory": directory,
            "output": output,
        },
    )
    pid = lib.nb_start_helper(request)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return pid, request.pidfd
