"""The capabilities that containers get here, kept in a file so that a change of them is noticed.

A lock belongs into a repository: it says what each shipped profile gave on the runner on which it
was made. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.doctor.outlook import Prospect
from nestbox.errors import UsageError

if TYPE_CHECKING:
    from nestbox.doctor.outlook import Outlooks

FORMAT: Final = 1
_GIVEN: Final = frozenset({Prospect.GIVEN, Prospect.USERNS, Prospect.KEPT})
_REMEDY: Final = "write it again on a runner that is as it should be: nestbox lock"


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the containers of each profile have, by name; a capability over the container's own
    user namespace alone ends in ``:userns``, one that has no effect there is left out.
    """

    format: int = FORMAT
    profiles: dict[str, tuple[str, ...]]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A capability that a profile's containers have now and had not, or the reverse."""

    profile: str
    capability: str
    gained: bool
    cause: str = ""  # of one that is lost
    lost_at: str = ""
    remedy: str = ""


def lock_of(table: Outlooks) -> Lock:
    """Return what would be given here."""
    return Lock(
        profiles={
            profile: tuple(
                _written(outlook.name, outlook.profiles[profile].prospect)
                for outlook in table.capabilities
                if outlook.profiles[profile].prospect in _GIVEN
            )
            for profile in table.profiles
        }
    )


def _written(name: str, prospect: Prospect) -> str:
    return f"{name}:userns" if prospect is Prospect.USERNS else name


def changes(lock: Lock, table: Outlooks) -> tuple[Change, ...]:
    """Return what is not as the lock says, the lost ones first."""
    here = lock_of(table).profiles
    lost, gained = [], []
    for profile in dict.fromkeys((*lock.profiles, *here)):
        old, new = lock.profiles.get(profile, ()), here.get(profile, ())
        lost += [_lost(profile, name, table) for name in old if name not in new]
        gained += [
            Change(profile=profile, capability=name, gained=True) for name in new if name not in old
        ]
    return (*lost, *gained)


def _lost(profile: str, written: str, table: Outlooks) -> Change:
    name = written.removesuffix(":userns")
    for outlook in table.capabilities:
        profiled = outlook.profiles.get(profile)
        if outlook.name == name and profiled is not None:
            return Change(
                profile=profile,
                capability=written,
                gained=False,
                cause=profiled.detail,
                lost_at=profiled.lost_at,
                remedy=profiled.remedy,
            )
    cause = "this nestbox has no such profile" if profile not in table.profiles else "unknown here"
    return Change(profile=profile, capability=written, gained=False, cause=cause)


def save_lock(lock: Lock) -> bytes:
    """Return the file: one name a line, so that a change of it reads well in a review."""
    return msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n"


def load_lock(text: bytes, name: str) -> Lock:
    """Return what a file says. Raises UsageError."""
    what = f"cannot read the lock {name!r}"
    try:
        lock = msgspec.json.decode(text, type=Lock)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(what, cause=f"it is no lock: {error}", remedy=_REMEDY) from error
    if lock.format != FORMAT:
        cause = f"its format is {lock.format} and this nestbox knows {FORMAT}"
        raise UsageError(what, cause=cause, remedy=_REMEDY)
    return lock
