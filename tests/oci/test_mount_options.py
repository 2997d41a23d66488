"""The options of a mount in a config.json."""

from __future__ import annotations

import pytest

from nestbox.oci.mount_options import Attributes, ConfigMountOptions, read_options
from nestbox.oci.options import TABLE, known_options

# Source: runtime-spec 1.3, config.md "Linux mount options", as it stands there.
SPECIFIED = """
    async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev
    nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow
    private ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodiratime rnoexec
    rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave
    rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow
    sync tmpcopyup unbindable idmap ridmap
""".split()


def read(*words: str) -> ConfigMountOptions:
    return read_options(words)


@pytest.mark.parametrize("word", SPECIFIED)
def test_every_option_of_the_specification_is_known(word: str) -> None:
    assert word in known_options()
    assert read(word).data == ()


@pytest.mark.parametrize("word", [word for word in known_options() if word != "defaults"])
def test_every_known_option_does_something(word: str) -> None:
    assert read(word) != ConfigMountOptions()


def test_features_lists_no_word_that_only_engines_have() -> None:
    assert not {"z", "Z", "U", "cached", "nocopy", "acl"} & {*known_options()}


@pytest.mark.parametrize("word", ["z", "U", "cached", "acl", "size=1m", "mode=755", "", "RO"])
def test_what_is_unknown_belongs_to_the_file_system(word: str) -> None:
    assert read("ro", word, "nosuid").data == (word,)


def test_data_keeps_its_order() -> None:
    assert read("newinstance", "nosuid", "ptmxmode=0666", "gid=5").data == (
        "newinstance",
        "ptmxmode=0666",
        "gid=5",
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ro",), Attributes(set=("ro",))),
        (("rw",), Attributes(cleared=("ro",))),
        (("ro", "rw"), Attributes(cleared=("ro",))),
        (("rw", "ro"), Attributes(set=("ro",))),
        (("noatime", "strictatime"), Attributes(set=("strictatime",))),
        (("noatime", "atime"), Attributes(set=("relatime",))),
        (("nosuid", "nodev", "exec"), Attributes(set=("nosuid", "nodev"), cleared=("noexec",))),
        ((), Attributes()),
    ],
)
def test_the_last_word_about_an_attribute_wins(
    words: tuple[str, ...], expected: Attributes
) -> None:
    assert read(*words).attributes == expected
    recursive = tuple("r" + word for word in words)
    assert read(*recursive).recursive == expected
    assert not read(*recursive).attributes


def test_recursive_attributes_are_kept_apart() -> None:
    options = read("rbind", "ro", "rnosuid", "rw")
    assert options.attributes == Attributes(cleared=("ro",))
    assert options.recursive == Attributes(set=("nosuid",))
    assert read("rro").readonly
    assert not options.readonly


def test_propagations_are_kept_in_order() -> None:
    """A mount can be a slave that is shared, which takes two steps."""
    assert read("rslave", "shared").propagations == (("slave", True), ("shared", False))


def test_binds() -> None:
    assert (read("bind").bind, read("bind").recursive_bind) == (True, False)
    assert (read("rbind").bind, read("rbind").recursive_bind) == (True, True)
    assert read("bind", "rbind").recursive_bind
    assert not read("rbind", "bind").recursive_bind
    assert read("remount", "bind").remount


def test_id_maps_and_copies() -> None:
    assert (read("idmap").id_mapped, read("idmap").recursive_id_map) == (True, False)
    assert (read("ridmap").id_mapped, read("ridmap").recursive_id_map) == (True, True)
    assert read("tmpcopyup").copy_up


def test_the_last_flag_of_two_opposites_wins() -> None:
    assert read("sync", "dirsync", "async").flags == ("dirsync", "async")
    assert read("nomand", "mand").flags == ("mand",)


def test_every_opposite_is_in_the_table() -> None:
    flags = {row.flag for row in TABLE.values() if row.flag and not row.only_flags}
    assert {"sync", "async", "lazytime", "nolazytime", "silent", "loud"} <= flags
