"""JSON without the module json says what json says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox import json_text

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_what_json_reads(value: Any) -> None:
    assert json.loads(json_text.encode(value)) == value


@given(VALUES)
def test_what_json_writes_is_read(value: Any) -> None:
    assert json_text.decode(json.dumps(value, indent=1)) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[1,", '"', '"\x01"', "{}{}", "nul", "NaN", "Infinity", "[" * 100_000, "{1:2}"],
)
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON"):
        json_text.decode(text)


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError):
        json_text.encode({"a": object()})


def test_endless_nesting_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeError):
        json_text.encode(value)
