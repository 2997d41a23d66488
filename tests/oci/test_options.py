"""The mount-option table and its parser."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.kernel.mount_names import ATTRIBUTES, PROPAGATION
from nestbox.oci.options import TABLE, MountOptions, Service, known_options, parse_options


def parse(*texts: str, fstype: str = "bind") -> MountOptions:
    return parse_options(texts, fstype=fstype, asked_by="-v /a:/b")


def test_every_attribute_of_the_table_is_one_that_the_kernel_has() -> None:
    named = {name for row in TABLE.values() for name in (*row.set, *row.cleared)}
    assert named == {*ATTRIBUTES}


def test_every_propagation_of_the_table_is_one_that_the_kernel_has() -> None:
    assert {row.propagation for row in TABLE.values()} - {""} == {*PROPAGATION}


def test_every_option_that_can_be_set_can_be_cleared() -> None:
    assert {name for row in TABLE.values() for name in row.set} - {
        name for row in TABLE.values() for name in row.cleared
    } == {"relatime", "noatime", "strictatime"}


def test_a_new_mount_is_no_remount() -> None:
    with pytest.raises(UsageError, match="this one is new"):
        parse("remount")


@pytest.mark.parametrize("word", sorted({*TABLE} - {"remount"}))
def test_every_word_of_the_table_is_understood(word: str) -> None:
    parse_options((word,), fstype="tmpfs", asked_by="--tmpfs /x")
    assert (word in known_options()) is not TABLE[word].only_flags


def test_the_last_word_of_two_wins() -> None:
    assert parse("ro", "rw").cleared == ("ro",)
    assert parse("rw", "ro") == MountOptions(set=("ro",))
    assert parse("noatime", "strictatime").set == ("strictatime",)


def test_recursive_attributes_are_told_from_recursive_binds() -> None:
    assert parse("rro").recursive_attributes
    assert parse("rbind").recursive_bind is True
    assert parse("bind").recursive_bind is False
    assert parse("ro").recursive_bind is None


def test_propagation_is_kept_with_its_reach() -> None:
    options = parse("rslave")
    assert (options.propagation, options.recursive_propagation) == ("slave", True)
    assert not parse("rslave", "private").recursive_propagation


def test_what_asks_nestbox_is_told_from_what_asks_the_kernel() -> None:
    assert parse("Z", "U").services == (Service.RELABEL_PRIVATE, Service.CHOWN)


def test_a_tmpfs_takes_values() -> None:
    options = parse("size=64m", "mode=700", "size=32m", fstype="tmpfs")
    assert options.data == (("mode", "700"), ("size", "32m"))


@pytest.mark.parametrize(
    ("word", "suggestion"), [("noexce", "noexec"), ("rshare", "rshared"), ("RO", "ro")]
)
def test_a_misspelt_word_gets_a_suggestion(word: str, suggestion: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(word)
    assert repr(suggestion) in caught.value.remedy


@pytest.mark.parametrize(
    "word", ["size=", "size=x", "mode=9", "size", "mode=0x1ff", "uid=-1", "nr_inodes=1%"]
)
def test_a_bad_value_of_a_tmpfs_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse(word, fstype="tmpfs")


def test_a_size_belongs_to_a_tmpfs() -> None:
    with pytest.raises(UsageError, match="belongs to a tmpfs"):
        parse("size=64m")


def test_a_flag_of_a_file_system_is_no_option_of_a_bind() -> None:
    with pytest.raises(UsageError, match="belongs to a file system"):
        parse("sync")
