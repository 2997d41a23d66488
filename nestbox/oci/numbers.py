"""The integer types of the runtime specification, checked while a document is decoded.

The modules whose types msgspec decodes have no postponed annotations: it needs the value of each,
and to evaluate 200 of them from text takes a millisecond of every command.

Source: runtime-spec 1.3, schema/defs.json.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

MAX_UINT64: Final = (1 << 64) - 1

Int32 = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
UInt16 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 16) - 1)]
UInt32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]

# msgspec takes no bound above 2**63 - 1, so that ``validate`` compares these with MAX_UINT64.
UInt64 = Annotated[int, msgspec.Meta(ge=0)]
