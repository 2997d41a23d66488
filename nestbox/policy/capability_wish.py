"""What was asked about capabilities, read from profile and flags into masks. Pure."""

from __future__ import annotations

import msgspec

from nestbox.errors import UsageError
from nestbox.kernel.capabilities import name_of
from nestbox.policy.capability_names import CapabilityName, contradictions, read_names
from nestbox.policy.decision import Intent
from nestbox.policy.profile import CapabilityGrant


class CapabilityAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked about capabilities, and of the process that is to have them."""

    base: CapabilityGrant  # of the profile
    profile: str  # its name
    privileged: bool = False  # `--privileged` chose the profile
    adds: tuple[str, ...] = ()  # `--cap-add`, as written
    drops: tuple[str, ...] = ()  # `--cap-drop`, as written
    ambient: bool = False  # `--ambient`; the profile's own wish is in `base`
    uid: int = 0  # of the container's process, inside its user namespace
    new_user_namespace: bool = False
    no_new_privs: bool = False

    @property
    def label(self) -> str:
        """Who asks for the base, in a message."""
        return "--privileged" if self.privileged else f"profile {self.profile}"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, as masks; the texts are of flags (``--cap-add sys_boot``), by number."""

    base: int  # what the profile has, be it dropped
    base_strict: bool
    added: int  # by name or ALL
    named: int  # added by name, be it leniently
    dropped: int  # by name or ALL
    dropped_strictly: int
    asked: int  # what remains of base and added
    strict: int  # the part of asked that must be met
    label: str
    add_texts: dict[int, str]
    drop_texts: dict[int, str]
    add_all: bool
    drop_all: bool

    def asked_by(self, number: int) -> tuple[str, ...]:
        """Return everybody who asked for something about the capability."""
        by: list[str] = []
        if self.base >> number & 1:
            by.append(self.label)
        if number in self.add_texts:
            by.append(self.add_texts[number])
        elif self.added >> number & 1:
            by.append("--cap-add ALL")
        if number in self.drop_texts:
            by.append(self.drop_texts[number])
        elif self.dropped >> number & 1:
            by.append("--cap-drop ALL")
        return tuple(by)


def read_wish(ask: CapabilityAsk, known: int) -> Wish:
    """Return what is asked; ALL stands for the mask ``known``, what this kernel has.

    Raises:
        UsageError: names are bad or flags contradict each other.
    """
    base, adds, drops = read_names(
        (
            (f"profile {ask.profile}: capabilities.grant", ask.base.grant),
            ("--cap-add", ask.adds),
            ("--cap-drop", ask.drops),
        )
    )
    both = contradictions(adds, drops) if adds and drops else ()
    if both:
        raise _contradiction(both)
    base_mask, base_lenient, base_all = _masks(base)
    add_mask, add_lenient, add_all = _masks(adds)
    drop_mask, drop_lenient, drop_all = _masks(drops)
    if base_all:
        base_mask |= known
    added = add_mask | known if add_all else add_mask
    asked = (added if drop_all else base_mask | added) & ~drop_mask
    base_strict = ask.base.policy is Intent.STRICT
    strict = add_mask & ~add_lenient
    if base_strict and not drop_all:
        strict |= base_mask & ~base_lenient
    by_all = known & ~added if drop_all else 0
    return Wish(
        base=base_mask,
        base_strict=base_strict,
        added=added,
        named=add_mask,
        dropped=drop_mask | by_all,
        dropped_strictly=drop_mask & ~drop_lenient | by_all,
        asked=asked,
        strict=strict & asked,
        label=ask.label,
        add_texts=_texts("--cap-add", adds),
        drop_texts=_texts("--cap-drop", drops),
        add_all=add_all,
        drop_all=drop_all,
    )


def _masks(names: tuple[CapabilityName, ...]) -> tuple[int, int, bool]:
    """Return the mask of the names, the part that is lenient only, and whether ALL is there."""
    mask = strict = 0
    has_all = False
    for name in names:
        if name.number is None:
            has_all = True
            continue
        bit = 1 << name.number
        mask |= bit
        if not name.lenient:
            strict |= bit
    return mask, mask & ~strict, has_all


def _texts(flag: str, names: tuple[CapabilityName, ...]) -> dict[int, str]:
    """Return the flag as written for each number; of several the first that is strict."""
    texts: dict[int, str] = {}
    for name in sorted(names, key=_lenient_first):
        if name.number is not None:
            texts[name.number] = f"{flag} {name.text}"
    return texts


def _lenient_first(name: CapabilityName) -> bool:
    """Return the sort key that lets strict names overwrite lenient ones."""
    return not name.lenient


def _contradiction(both: tuple[str, ...]) -> UsageError:
    """Return the error for names in --cap-add and --cap-drop both."""
    names = ", ".join(both)
    return UsageError(
        "contradictory capability flags",
        cause=f"{names} in both --cap-add and --cap-drop",
        remedy=f"leave {names} in one of the two",
    )


def mask_names(mask: int) -> str:
    """Return the names of a mask for a message: ``CAP_A, CAP_B``."""
    names = []
    while mask:
        low = mask & -mask
        names.append(name_of(low.bit_length() - 1))
        mask ^= low
    return ", ".join(names)
