"""Device rules: what they come to, the way there, and the program that enforces them."""

from __future__ import annotations

import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.errors import ConfigError
from nestbox.oci.resources import LinuxDeviceCgroup
from nestbox.policy.config.cgroup_bpf import Instruction, device_program, encode
from nestbox.policy.config.cgroup_devices import (
    ALL_ACCESS,
    ANY,
    MKNOD,
    READ,
    WRITE,
    Match,
    Rule,
    RuleSet,
    device_rules,
    may_be_lost,
    parse_list,
    rule_set,
    rule_text,
    transition,
)

DENY_ALL = Rule(allow=False, match=None, access=ALL_ACCESS)
ALLOW_ALL = Rule(allow=True, match=None, access=ALL_ACCESS)
NULL = Match(1, 3, "c")


def rule(**fields: object) -> LinuxDeviceCgroup:
    return msgspec.convert(fields, LinuxDeviceCgroup)


def test_every_container_gets_the_default_devices_whatever_its_rules():
    found = rule_set(device_rules([rule(allow=False, access="rwm")])).exceptions
    assert found[NULL] == ALL_ACCESS
    assert found[Match(136, ANY, "c")] == ALL_ACCESS
    assert found[Match(10, 200, "c")] == ALL_ACCESS
    assert found[Match(ANY, ANY, "b")] == MKNOD
    assert Match(1, 11, "c") not in found  # /dev/kmsg


def test_a_node_of_the_configuration_takes_the_place_of_a_default_one():
    found = rule_set(device_rules([], own_nodes=["/dev/null"])).exceptions
    assert NULL not in found
    assert Match(1, 5, "c") in found


@pytest.mark.parametrize("kind", ["", "a"])
def test_a_rule_without_a_type_is_about_everything(kind):
    found = rule_set(device_rules([rule(allow=True, access="rwm", type=kind)]))
    assert found.allows_all


@pytest.mark.parametrize(
    "fields",
    [
        {"access": ""},
        {"access": "x"},
        {"access": "r", "type": "p"},
        {"access": "r", "type": "c", "major": -2},
        {"access": "r", "type": "c", "minor": 1 << 32},
    ],
)
def test_a_malformed_rule_is_refused(fields):
    with pytest.raises(ConfigError, match=r"linux.resources.devices\[0\]"):
        device_rules([rule(**fields)])


def test_letters_that_are_no_access_allow_nothing():
    (first, *_) = device_rules([rule(allow=True, type="c", major=1, minor=3, access="rwa")])
    assert first.access == READ | WRITE


def test_rules_for_one_device_add_up_and_can_be_taken_out():
    read = Rule(allow=True, match=NULL, access=READ)
    write = Rule(allow=True, match=NULL, access=WRITE)
    assert rule_set([read, write]).exceptions == {NULL: READ | WRITE}
    without = Rule(allow=False, match=NULL, access=READ)
    assert rule_set([read, write, without]).exceptions == {NULL: WRITE}
    assert rule_set([read, without]).exceptions == {}
    assert rule_set([ALLOW_ALL, without]) == RuleSet(True, {NULL: READ})
    assert rule_set([ALLOW_ALL, without, read]).allows_all


def test_a_wildcard_cannot_be_punched():
    wide = Rule(allow=True, match=Match(1, ANY, "c"), access=READ | WRITE)
    with pytest.raises(ConfigError, match="cannot make a hole in a wildcard"):
        rule_set([wide, Rule(allow=False, match=NULL, access=READ)])
    # Another access and the very same devices are no hole.
    rule_set([wide, Rule(allow=False, match=NULL, access=MKNOD)])
    assert rule_set([wide, Rule(allow=False, match=wide.match, access=READ)]).exceptions == {
        wide.match: WRITE
    }


def test_a_transition_touches_only_what_changes():
    source = RuleSet(False, {NULL: ALL_ACCESS, Match(1, 5, "c"): READ})
    target = RuleSet(False, {NULL: READ, Match(1, 7, "c"): WRITE})
    assert [(one.allow, rule_text(one)) for one in transition(source, target)] == [
        (False, "c 1:3 wm"),
        (False, "c 1:5 r"),
        (True, "c 1:7 w"),
    ]
    assert transition(source, source) == ()


def test_a_set_that_allows_by_default_is_begun_anew():
    source, target = RuleSet(True), RuleSet(False, {NULL: READ})
    assert [rule_text(one) for one in transition(source, target)] == ["a *:* rwm", "c 1:3 r"]
    assert transition(source, target)[0].allow is False


def test_devices_list_is_read_as_the_kernel_writes_it():
    assert parse_list("a *:* rwm\n").allows_all
    assert parse_list("c 1:3 rwm\nb *:* m\nc 136:* rw\n") == RuleSet(
        False, {NULL: ALL_ACCESS, Match(ANY, ANY, "b"): MKNOD, Match(136, ANY, "c"): READ | WRITE}
    )
    with pytest.raises(ValueError, match="unpack"):
        parse_list("what is this thing\n")


def test_rules_may_be_lost_only_where_they_deny_nothing():
    assert may_be_lost([ALLOW_ALL], user_namespace=False)
    assert not may_be_lost([DENY_ALL], user_namespace=False)
    assert not may_be_lost([Rule(allow=True, match=NULL, access=READ)], user_namespace=False)
    assert may_be_lost([DENY_ALL], user_namespace=True)


def allowed(rules: RuleSet, kind: str, major: int, minor: int, access: int) -> bool:
    """Decide as cgroup v1 does: security/device_cgroup.c, match_exception and its partial form."""
    for match, excepted in rules.exceptions.items():
        same = match.kind == kind and match.major in {ANY, major} and match.minor in {ANY, minor}
        if same and (access & excepted if rules.allows else not access & ~excepted):
            return not rules.allows
    return rules.allows


LOADS_AND_ALU = {
    0x54: lambda target, _, value: target & value,
    0x74: lambda target, _, value: target >> value,
    0xBC: lambda _, source, __: source,
    0xB7: lambda _, __, value: value,
}
JUMPS = {
    0x15: lambda target, _, value: target == value,
    0x55: lambda target, _, value: target != value,
    0x5D: lambda target, source, _: target != source,
}


def run(program: tuple[Instruction, ...], kind: str, major: int, minor: int, access: int) -> bool:
    """Run a program as the kernel would; it has to end."""
    context = {0: {"b": 1, "c": 2}[kind] | access << 16, 4: major, 8: minor}
    registers: dict[int, int] = {}
    place = 0
    while program[place].code != 0x95:
        step = program[place]
        place += 1
        values = (registers.get(step.target), registers.get(step.source), step.value)
        if step.code == 0x61:
            registers[step.target] = context[step.offset]
        elif step.code in JUMPS:
            place += step.offset if JUMPS[step.code](*values) else 0
        else:
            registers[step.target] = LOADS_AND_ALU[step.code](*values)
    return bool(registers[0])


NUMBERS = st.sampled_from([ANY, 0, 1, 3, 5])
MATCHES = st.builds(Match, NUMBERS, NUMBERS, st.sampled_from(["b", "c"]))
SETS = st.builds(
    RuleSet, st.booleans(), st.dictionaries(MATCHES, st.integers(1, ALL_ACCESS), max_size=5)
)
REAL = st.sampled_from([0, 1, 3, 5])


@given(SETS, st.sampled_from(["b", "c"]), REAL, REAL, st.integers(1, ALL_ACCESS))
def test_the_program_decides_as_version_1_does(rules, kind, major, minor, access):
    program = device_program(rules)
    assert run(program, kind, major, minor, access) == allowed(rules, kind, major, minor, access)


@given(SETS, SETS)
def test_a_transition_arrives(source, target):
    """Applied as the kernel applies them, to the set that they were made for."""
    rules = [Rule(allow=source.allows, match=None, access=ALL_ACCESS)]
    rules += [
        Rule(allow=not source.allows, match=match, access=access)
        for match, access in source.exceptions.items()
    ]
    exceptions = dict(rule_set(rules).exceptions)
    allows = source.allows
    for one in transition(source, target):
        if one.match is None:
            allows, exceptions = one.allow, {}
        elif one.allow != allows:
            exceptions[one.match] = exceptions.get(one.match, 0) | one.access
        else:
            exceptions[one.match] &= ~one.access
    assert (
        RuleSet(allows, {match: access for match, access in exceptions.items() if access}) == target
    )


def test_an_instruction_is_eight_bytes_in_the_order_of_the_machine():
    code = encode((Instruction(0x55, 2, 1, offset=3, value=-1),), "little")
    assert code == bytes([0x55, 0x12, 3, 0, 0xFF, 0xFF, 0xFF, 0xFF])
    assert encode((Instruction(0x55, 2, 1, 3, 7),), "big") == bytes([0x55, 0x21, 0, 3, 0, 0, 0, 7])
    assert len(encode(device_program(RuleSet()), sys.byteorder)) == 8 * 8
