"""Reads plan.h ahead of time, so that importing the layout costs neither cffi nor a C parser."""

from __future__ import annotations

import re
from pathlib import Path

import cffi

HEADER = Path(__file__).with_name("plan.h")


def without_comments(text: str) -> str:
    """Return the header as cffi takes it: a define may not be followed by a comment."""
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


ffibuilder = cffi.FFI()
ffibuilder.set_source("nestbox.executor._abi", None)
ffibuilder.cdef(without_comments(HEADER.read_text(encoding="utf-8")))
