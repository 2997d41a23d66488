"""Which attributes a bind or a remount gets and loses. Pure.

With any option named, a bind has what is named and nothing else, apart from its access times, which
stay as they are unless one of their options is there. A mount that came from a more privileged user
namespace has its attributes locked: they are kept, and an option that would take one is refused.

Source: mount(8) "Bind mount operation", mount_namespaces(7), fs/namespace.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from nestbox.policy.config.asked_mount import AskedMount

_ATTRIBUTES: Final = ("ro", "nosuid", "nodev", "noexec", "nosymfollow")
_LOCKED: Final = frozenset({"ro", "nosuid", "nodev", "noexec"})
_TIMES: Final = ("strictatime", "noatime", "relatime")  # of several, the kernel takes the first
_NO_DIRECTORY_TIMES: Final = "nodiratime"
_OF_TIMES: Final = frozenset({*_TIMES, _NO_DIRECTORY_TIMES})
_CLEARING: Final = {
    "atime": "noatime",
    "norelatime": "relatime",
    "nostrictatime": "strictatime",
    "diratime": _NO_DIRECTORY_TIMES,
}


class BindAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """What is set on the top mount, and what is cleared."""

    set: tuple[str, ...]
    cleared: tuple[str, ...]


def free_attributes(asked: AskedMount) -> BindAttributes:
    """Return the attributes of a mount whose own ones are not locked."""
    times = asked_times(asked.mount.options)
    named = asked.options.attributes
    kept = tuple(name for name in named.set if name not in _OF_TIMES)
    if not named:
        return BindAttributes(set=(), cleared=())
    cleared = [name for name in _ATTRIBUTES if name not in kept]
    if times and _NO_DIRECTORY_TIMES not in times:
        cleared.append(_NO_DIRECTORY_TIMES)
    return BindAttributes(set=(*kept, *times), cleared=tuple(cleared))


def locked_attributes(asked: AskedMount, source: tuple[str, ...] | None) -> BindAttributes:
    """Return the attributes of a mount whose own ones (``source``) are locked.

    Where those are not known, what the options take is left for the kernel to judge.

    Raises:
        UsageError: an option would take a locked attribute away, or change the access times.
    """
    named = asked.options.attributes
    times = asked_times(asked.mount.options)
    kept = tuple(name for name in named.set if name not in _OF_TIMES)
    loses = ("nosymfollow",) if named and "nosymfollow" not in kept else ()  # never locked
    if source is None:
        taken = [name for name in named.cleared if name in _LOCKED]
        return BindAttributes(set=(*kept, *times), cleared=(*taken, *loses))
    _check_locked(asked, times, source)
    return BindAttributes(set=kept, cleared=loses)


def _check_locked(asked: AskedMount, times: tuple[str, ...], source: tuple[str, ...]) -> None:
    named = asked.options.attributes
    taken = [name for name in named.cleared if name in _LOCKED and name in source]
    if taken:
        raise _locked(asked, f"cannot clear locked flags {','.join(taken)}")
    if times and {*times} != {*_present_times(source)}:
        raise _locked(asked, f"cannot change locked atime flags {_shown_times(source)}")


def asked_times(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return which access times the options name; an option that takes one back names none."""
    named: set[str] = set()
    for word in words:
        if word in _OF_TIMES:
            named.add(word)
        else:
            named.discard(_CLEARING.get(word, ""))
    if not named:
        return ()
    time = next((name for name in _TIMES if name in named), "relatime")
    return (time, _NO_DIRECTORY_TIMES) if _NO_DIRECTORY_TIMES in named else (time,)


def _present_times(source: tuple[str, ...]) -> tuple[str, ...]:
    time = next((name for name in _TIMES if name in source), "strictatime")
    return (time, _NO_DIRECTORY_TIMES) if _NO_DIRECTORY_TIMES in source else (time,)


def _shown_times(source: tuple[str, ...]) -> str:
    return ",".join(_present_times(source))


def _locked(asked: AskedMount, cause: str) -> Exception:
    return asked.error(
        f"{cause}: operation not permitted in a user namespace",
        f"leave the option out of {asked.place}, or mount the source outside as it is to be",
    )
