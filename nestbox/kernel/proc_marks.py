"""Whether something looks like a proc file system, told without a question to any server."""

from __future__ import annotations

import os

from nestbox.kernel._syscalls import ffi, lib

# Inode and block size of its root. Source: fs/proc/root.c, PROC_ROOT_INO and s_blocksize.
_MARKS = (1, 1024)


def has_marks_of_proc(path: str) -> bool:
    """Return whether a directory has the outward marks of the root of proc. Raises OSError.

    A file system of a server can have them too: who must be sure asks the file system, and only
    then, as one that hangs would hold him.
    """
    facts = ffi.new("struct nb_cached_stat *")
    result = lib.nb_stat_cached(os.fsencode(path), facts)
    if result < 0:
        raise OSError(-result, os.strerror(-result), path)
    return (facts.inode, facts.block_size) == _MARKS
