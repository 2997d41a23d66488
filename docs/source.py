"""What the source of a class says about its fields: the type as written, and the comment behind."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from textwrap import dedent
from typing import NamedTuple


class Field(NamedTuple):
    """One field of a value."""

    name: str
    type: str  # as it is written
    comment: str  # behind it on its line; may be empty


def fields_of(kind: type) -> list[Field]:
    """Return the fields that the class itself declares, in their order."""
    text = dedent(inspect.getsource(kind))
    comments = _comments(text)
    return [
        Field(node.target.id, ast.unparse(node.annotation), comments.get(node.end_lineno or 0, ""))
        for node in _body(text)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def comments_of(kind: type) -> dict[str, str]:
    """Return the comments behind the members of an enumeration, by the names that have one."""
    text = dedent(inspect.getsource(kind))
    comments = _comments(text)
    found: dict[str, str] = {}
    for node in _body(text):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            comment = comments.get(node.end_lineno or 0, "")
            if comment:
                found[node.targets[0].id] = comment
    return found


def _body(text: str) -> list[ast.stmt]:
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.ClassDef)
    return node.body


def _comments(text: str) -> dict[int, str]:
    """Return the comments by the number of their line."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {
        token.start[0]: token.string.lstrip("# ")
        for token in tokens
        if token.type == tokenize.COMMENT
    }
