"""What is wrong with one place of a document: the value that every check of this package gives."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the types of a document cannot rule out."""

    place: str  # JSON path from the document's root, as ``$.process.args[0]``
    cause: str
    remedy: str = "correct this value"

    def __str__(self) -> str:
        return f"{self.place}: {self.cause}"
