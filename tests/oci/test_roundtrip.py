"""Any document of the right shape: read, written and read again, and examined without a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from nestbox.oci.config import Config
from nestbox.oci.read import parse_config
from nestbox.oci.validate import find_problems, find_warnings

TEXT = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=8
) | st.sampled_from(["/", "/a", "a.b", "0-3", "uts", "user", "bind", "idmap", "RLIMIT_CPU", "-"])


def values_of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Return plain values of the shape that a type of the configuration has in JSON."""
    return STRATEGIES[type(kind)](kind)


def fields_of(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    found = {field.encode_name: values_of(field.type) for field in kind.fields}
    required = {field.encode_name for field in kind.fields if field.required}
    return st.fixed_dictionaries(
        {name: values for name, values in found.items() if name in required},
        optional={name: values for name, values in found.items() if name not in required},
    )


STRATEGIES: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    # A number without an upper bound is one of 64 bits, which is checked later.
    inspect.IntType: lambda kind: st.integers(kind.ge, kind.le or 1 << 64),
    inspect.StrType: lambda kind: TEXT.filter(bool) if kind.min_length else TEXT,
    inspect.BoolType: lambda _: st.booleans(),
    inspect.NoneType: lambda _: st.none(),
    inspect.EnumType: lambda kind: st.sampled_from([word.value for word in kind.cls]),
    inspect.UnionType: lambda kind: st.one_of(*(values_of(one) for one in kind.types)),
    inspect.VarTupleType: lambda kind: st.lists(
        values_of(kind.item_type), min_size=kind.min_length or 0, max_size=2
    ),
    inspect.DictType: lambda kind: st.dictionaries(TEXT, values_of(kind.value_type), max_size=2),
    inspect.StructType: fields_of,
}

DOCUMENTS = values_of(inspect.type_info(Config))


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_what_is_read_is_written_and_read_again(document: Any) -> None:
    config = parse_config(msgspec.json.encode(document), source="config.json")
    again = parse_config(msgspec.json.encode(config), source="config.json")
    assert again == config
    assert find_problems(again) == find_problems(config)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_every_problem_names_a_place_and_says_what_to_do(document: Any) -> None:
    config = parse_config(msgspec.json.encode(document), source="config.json")
    for problem in (*find_problems(config), *find_warnings(config)):
        assert problem.place.startswith("$.")
        assert problem.cause
        assert problem.remedy
