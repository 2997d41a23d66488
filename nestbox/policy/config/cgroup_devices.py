"""Which devices a container may use: the rules, what they come to, and how to get there. Pure.

Rules are applied in order, and come to a set: a default (deny all, or allow all) and exceptions.
That is how cgroup v1 works; version 2 gets the same set as a program, so that both decide alike.

Source: Documentation/admin-guide/cgroup-v1/devices.rst; runtime-spec config-linux.md "Allowed
Device list".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import ConfigError

if TYPE_CHECKING:
    from nestbox.oci.resources import LinuxDeviceCgroup

ANY: Final = -1
MKNOD, READ, WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*
ALL_ACCESS: Final = MKNOD | READ | WRITE
_LETTERS: Final = {"r": READ, "w": WRITE, "m": MKNOD}
_MAX_NUMBER: Final = 0xFFFF_FFFF


class Match(msgspec.Struct, frozen=True, order=True):
    """The devices that a rule is about."""

    major: int  # ANY for all
    minor: int
    kind: str  # "c" or "b"


class Rule(msgspec.Struct, frozen=True):
    """One rule; without a match it is about all devices and all access."""

    allow: bool
    match: Match | None
    access: int


class RuleSet(msgspec.Struct, frozen=True):
    """What rules come to: a default for all devices, and exceptions from it."""

    allows: bool = False  # what is not excepted
    exceptions: dict[Match, int] = {}  # the access that is excepted

    @property
    def allows_all(self) -> bool:
        """Whether nothing is denied."""
        return self.allows and not self.exceptions


def _character(major: int, minor: int, access: int = ALL_ACCESS) -> Rule:
    return Rule(allow=True, match=Match(major, minor, "c"), access=access)


# What containers get whatever their rules are, as with runc: engines count on it. A node that is
# made for another device than these cannot be opened, so mknod(2) itself is harmless.
_NODES: Final = {
    "/dev/null": _character(1, 3),
    "/dev/random": _character(1, 8),
    "/dev/full": _character(1, 7),
    "/dev/tty": _character(5, 0),
    "/dev/zero": _character(1, 5),
    "/dev/urandom": _character(1, 9),
}
_ALWAYS: Final = (
    _character(ANY, ANY, MKNOD),
    Rule(allow=True, match=Match(ANY, ANY, "b"), access=MKNOD),
    _character(136, ANY),  # terminals of /dev/pts
    _character(5, 2),  # /dev/ptmx
    _character(10, 200),  # /dev/net/tun
)


def device_rules(
    rules: Sequence[LinuxDeviceCgroup], own_nodes: Iterable[str] = ()
) -> tuple[Rule, ...]:
    """Return the rules of a container: those of its configuration, then those that all have.

    ``own_nodes`` are the paths of ``linux.devices``: what the configuration puts at the path of a
    default device takes the place of its rule.

    Raises:
        ConfigError: a rule is malformed.
    """
    own = frozenset(own_nodes)
    return (
        *(_parse(rule, index) for index, rule in enumerate(rules)),
        *_ALWAYS,
        *(rule for path, rule in _NODES.items() if path not in own),
    )


def _parse(rule: LinuxDeviceCgroup, index: int) -> Rule:
    access = 0
    for letter in rule.access:
        access |= _LETTERS.get(letter, 0)
    if not access:
        raise _malformed(index, f"device access at {index} field cannot be empty: it is of r, w, m")
    if rule.type not in {"", "a", "b", "c"}:
        raise _malformed(index, f'invalid cgroup device type "{rule.type}"')
    if rule.type in {"", "a"}:
        return Rule(allow=rule.allow, match=None, access=ALL_ACCESS)
    match = Match(_number(rule.major, index), _number(rule.minor, index), rule.type)
    return Rule(allow=rule.allow, match=match, access=access)


def _number(value: int | None, index: int) -> int:
    if value is None or value == ANY:
        return ANY
    if not 0 <= value <= _MAX_NUMBER:
        raise _malformed(index, f"{value} is no number of a device")
    return value


def _malformed(index: int, cause: str) -> ConfigError:
    return ConfigError(
        f"cannot use linux.resources.devices[{index}]", cause=cause, remedy="correct the rule"
    )


def rule_set(rules: Iterable[Rule]) -> RuleSet:
    """Return what these rules come to, applied in order to "deny all".

    Raises:
        ConfigError: a rule takes a part out of one with a wildcard, which cgroup v1 would ignore.
    """
    allows, exceptions = False, dict[Match, int]()
    for rule in rules:
        if rule.match is None:
            allows, exceptions = rule.allow, {}
        elif rule.allow != allows:
            exceptions[rule.match] = exceptions.get(rule.match, 0) | rule.access
        else:
            _take_out(exceptions, rule.match, rule.access)
    return RuleSet(allows, exceptions)


def _take_out(exceptions: dict[Match, int], match: Match, access: int) -> None:
    wider = (
        Match(ANY, match.minor, match.kind),
        Match(match.major, ANY, match.kind),
        Match(ANY, ANY, match.kind),
    )
    for other in wider:
        if other != match and exceptions.get(other, 0) & access:
            raise ConfigError(
                f"cannot take {match_text(match)} {access_text(access)} out of the device rules",
                cause=f"the rule {match_text(other)} {access_text(exceptions[other])} covers it, "
                "and cgroups cannot make a hole in a wildcard",
                remedy="leave the rule with the wildcard out, or list what it is to cover",
            )
    left = exceptions.get(match, 0) & ~access
    if left:
        exceptions[match] = left
    else:
        exceptions.pop(match, None)


def transition(source: RuleSet, target: RuleSet) -> tuple[Rule, ...]:
    """Return the fewest rules that make one set of the other, so that no device fails meanwhile.

    What a set that allows by default denies cannot be read back from cgroup v1, so that one is
    always begun anew.
    """
    rules: list[Rule] = []
    old = source.exceptions
    if source.allows or source.allows != target.allows:
        rules.append(Rule(allow=target.allows, match=None, access=ALL_ACCESS))
        old = {}
    for match in sorted(old):
        dropped = old[match] & ~target.exceptions.get(match, 0)
        if dropped:
            rules.append(Rule(allow=target.allows, match=match, access=dropped))
    for match in target.exceptions:  # in their own order, which readers of devices.list expect
        gained = target.exceptions[match] & ~old.get(match, 0)
        if gained:
            rules.append(Rule(allow=not target.allows, match=match, access=gained))
    return tuple(rules)


def parse_list(text: str) -> RuleSet:
    """Return the set that the file devices.list of cgroup v1 shows. Raises ValueError."""
    rules = []
    for line in text.splitlines():
        kind, numbers, access = line.split(" ")
        if kind == "a":
            rules.append(Rule(allow=True, match=None, access=ALL_ACCESS))
            continue
        major, minor = (ANY if number == "*" else int(number) for number in numbers.split(":"))
        mask = sum(_LETTERS[letter] for letter in access)
        rules.append(Rule(allow=True, match=Match(major, minor, kind), access=mask))
    return rule_set(rules)


def match_text(match: Match | None) -> str:
    """Return which devices, as cgroup v1 writes it: ``c 1:3``, ``b 8:*``, ``a *:*``."""
    if match is None:
        return "a *:*"
    major, minor = ("*" if number == ANY else number for number in (match.major, match.minor))
    return f"{match.kind} {major}:{minor}"


def access_text(access: int) -> str:
    """Return the access as letters of ``rwm``."""
    return "".join(letter for letter, bit in _LETTERS.items() if access & bit)


def rule_text(rule: Rule) -> str:
    """Return a rule as it is written to devices.allow or devices.deny."""
    return f"{match_text(rule.match)} {access_text(rule.access)}"


def may_be_lost(rules: Iterable[Rule], *, user_namespace: bool) -> bool:
    """Return whether a container may run although its rules cannot be enforced.

    In a user namespace no program may be attached, and the devices of the machine are kept away by
    its ownership of nothing. Elsewhere only rules that deny nothing may be lost.
    """
    return user_namespace or all(rule.allow and rule.access == ALL_ACCESS for rule in rules)
