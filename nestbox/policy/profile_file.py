"""Profiles by name or path: where they are looked up, and how a YAML file becomes a Profile.

A name is looked up among the shipped profiles first, then in ``/etc/nestbox/profiles``, then in
``$XDG_CONFIG_HOME/nestbox/profiles``; the first that has it wins. What ``--profile minimal`` means
must not depend on a file that somebody put into a directory, so a shipped name cannot be replaced,
nor can a user replace what the administrator named: a file whose name is taken is never used by
that name, `list_profiles` says so, and it can be used by its path. Whatever contains a slash is a
path.

What a profile leaves out is as in the one that it extends, or else as in ``default``; a key holds
or is replaced as a whole. A profile that another extends must not extend one itself.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING, Any

import msgspec

from nestbox.errors import ProfileError
from nestbox.policy.capability_names import BadName, read_name
from nestbox.policy.profile import Profile
from nestbox.policy.profile_schema import NAME_PATTERN, normal, problems
from nestbox.policy.profile_yaml import MAX_BYTES, Document, read_document
from nestbox.policy.shipped_profiles import NAMES, load_shipped, shipped_form

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SYSTEM_DIRECTORY = "/etc/nestbox/profiles"
_SUFFIX = ".yaml"
_MOST_PROBLEMS = 20  # told at once


class ProfileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One profile that can be found; ``hidden_by`` has the name already, so this is found never."""

    name: str
    source: str  # a path, or "built in"
    hidden_by: str = ""


def profile_directories(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the directories in which a name is looked up, after the shipped profiles.

    Source: XDG Base Directory Specification: a relative path in a variable is to be ignored.
    """
    home = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home) and os.path.isabs(environ.get("HOME", "")):
        home = os.path.join(environ["HOME"], ".config")
    user = (os.path.join(home, "nestbox", "profiles"),) if os.path.isabs(home) else ()
    return (SYSTEM_DIRECTORY, *user)


def list_profiles(environ: Mapping[str, str]) -> tuple[ProfileEntry, ...]:
    """Return every profile by name, shipped ones first, then as they are looked up."""
    entries = [ProfileEntry(name=name, source="built in") for name in NAMES]
    first = {entry.name: entry.source for entry in entries}
    for directory in profile_directories(environ):
        for name in _names_in(directory):
            source = os.path.join(directory, name + _SUFFIX)
            entries.append(ProfileEntry(name=name, source=source, hidden_by=first.get(name, "")))
            first.setdefault(name, source)
    return tuple(entries)


def find_profile(name: str, environ: Mapping[str, str]) -> Profile:
    """Return the profile of a name or path.

    Raises:
        ProfileError: there is none, or it cannot be used; the error lists all that is wrong.
    """
    shipped = load_shipped(name)
    if shipped is not None:
        return shipped
    return load_profile_file(_locate(name, environ), environ)


def load_profile_file(path: str, environ: Mapping[str, str]) -> Profile:
    """Return the profile of a YAML file; ``environ`` tells where one that it extends may be.

    Raises:
        ProfileError: it cannot be used; the error lists all that is wrong.
    """
    document = _read(path)
    base = _base(document, path, environ)
    return msgspec.convert(normal(document.value, base, path), type=Profile)


def _base(document: Document, path: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the form of the profile whose keys hold where the document has none."""
    parent = document.value.get("extends")
    if parent is None:
        return shipped_form("default")
    if parent in NAMES:
        return shipped_form(parent)
    relative = os.path.join(os.path.dirname(path), parent)
    place = document.place(("extends",))
    try:
        parent_path = relative if "/" in parent else _locate(parent, environ)
        extended = _read(parent_path)
    except ProfileError as error:
        raise ProfileError(
            f"cannot use profile {document.file}",
            cause=f"{place}: extends {parent!a}: {error.cause}",
            remedy=error.remedy,
        ) from None
    if "extends" in extended.value:
        raise _too_many_levels(document, path, parent_path, extended)
    return _as_base(extended, parent_path)


def _as_base(extended: Document, path: str) -> dict[str, Any]:
    form: dict[str, Any] = normal(extended.value, shipped_form("default"), path)
    return form


def _too_many_levels(
    document: Document, path: str, parent_path: str, extended: Document
) -> ProfileError:
    """Return the error for a profile that extends one that extends another, or itself."""
    place = document.place(("extends",))
    further = extended.value["extends"]
    shown = extended.file
    cause = f"{place}: {shown} itself extends {further!a}; one level is allowed"
    back = os.path.join(os.path.dirname(parent_path), str(further))
    own_name = document.value.get("name")
    if os.path.realpath(parent_path) == os.path.realpath(path):
        cause = f"{place}: it extends itself"
    elif further == own_name or os.path.realpath(back) == os.path.realpath(path):
        cause = f"{place}: a loop: {shown} extends this one"
    return ProfileError(
        f"cannot use profile {document.file}",
        cause=cause,
        remedy="extend a profile that has no extends itself, or copy its keys",
    )


def _read(path: str) -> Document:
    """Return a file's document, which has no problem.

    Raises:
        ProfileError: it has; all problems are listed, each with its place.
    """
    document = read_document(_bytes(path), _on_one_line(path))
    found = [
        f"{document.place(problem.path, at_key=problem.at_key)}: {problem.message}"
        for problem in problems(document.value)
    ]
    if not found:
        found = [*_capability_problems(document), *_name_problems(document, path)]
    if found:
        more = len(found) - _MOST_PROBLEMS
        tail = [f"and {more} more"] if more > 0 else []
        raise ProfileError(
            f"cannot use profile {document.file}",
            cause="; ".join(found[:_MOST_PROBLEMS] + tail),
            remedy="see a working one: nestbox profile show default",
        )
    return document


def _capability_problems(document: Document) -> Iterator[str]:
    """Yield a problem for each name in ``capabilities.grant`` that means nothing."""
    grant = document.value.get("capabilities", {}).get("grant", [])
    items = [((), grant)] if isinstance(grant, str) else [((i,), x) for i, x in enumerate(grant)]
    alls = 0
    for index, text in items:
        name = read_name(text)
        message = ""
        if isinstance(name, BadName):
            hint = f" (did you mean {name.suggestion}?)" if name.suggestion else ""
            message = f"{text!a} {name.cause}{hint}"
        elif name.is_all:
            alls += 1
            message = "ALL is listed twice" if alls > 1 else ""
        if message:
            yield f"{document.place(('capabilities', 'grant', *index))}: {message}"


def _name_problems(document: Document, path: str) -> Iterator[str]:
    """Yield a problem if the profile has a name that leads to another one."""
    name = document.value["name"]
    place = document.place(("name",))
    if name in NAMES:
        yield f"{place}: {name!a} is the name of a shipped profile"
    elif os.path.dirname(path).endswith("/nestbox/profiles") and (
        os.path.basename(path) != name + _SUFFIX
    ):
        yield f"{place}: the name is {name!a} and the file {os.path.basename(path)!a}"


def _locate(name: str, environ: Mapping[str, str]) -> str:
    """Return the path of the profile that a name or path means.

    Raises:
        ProfileError: the name is no name, or nothing has it.
    """
    if "/" in name:
        return name
    if re.fullmatch(NAME_PATTERN[1:-1], name) is None:
        raise ProfileError(
            f"no profile {name[:80]!a}",
            cause="a profile name has lower-case letters, digits and _.- only",
            remedy="list them: nestbox profile list; a path must contain a slash: ./FILE",
        )
    directories = profile_directories(environ)
    for directory in directories:
        path = os.path.join(directory, name + _SUFFIX)
        if os.path.lexists(path):
            return path
    known = [entry.name for entry in list_profiles(environ)]
    raise ProfileError(
        f"no profile {name!a}",
        cause=f"it is not shipped and not in {' or '.join(directories)}{_hint(name, known)}",
        remedy="list them: nestbox profile list; a path must contain a slash: ./FILE",
    )


def _hint(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(name, known, n=1)
    return f" (did you mean {matches[0]}?)" if matches else ""


def _names_in(directory: str) -> list[str]:
    """Return the names of the profile files in a directory, sorted; none if it is not there."""
    try:
        files = os.listdir(directory)
    except OSError:
        return []
    names = [file.removesuffix(_SUFFIX) for file in files if file.endswith(_SUFFIX)]
    return sorted(name for name in names if re.fullmatch(NAME_PATTERN[1:-1], name))


def _bytes(path: str) -> bytes:
    """Return a regular file's bytes, one more than allowed at most.

    Raises:
        ProfileError: it cannot be read, or is no regular file.
    """
    try:
        # O_NONBLOCK: a named pipe must not make us wait for a writer before it is refused.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "has a NUL in its path"
        raise _unreadable(path, str(reason)) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _unreadable(path, "not a regular file")
        with open(fd, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(
            path, error.strerror or errno.errorcode.get(error.errno or 0, "")
        ) from None
    finally:
        os.close(fd)


def _on_one_line(path: str) -> str:
    """Return a path for messages, with what is not printable escaped."""
    return path if path.isprintable() else ascii(path)[1:-1]


def _unreadable(path: str, reason: str) -> ProfileError:
    return ProfileError(
        f"cannot read profile {path[:200]!a}",
        cause=reason,
        remedy="list the profiles: nestbox profile list",
    )
