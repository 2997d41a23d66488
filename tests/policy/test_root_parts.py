"""A root of parts: an overlay, a copy or a bind for each directory beside the mounts."""

from __future__ import annotations

from typing import Any

from nestbox.outer.facts import Mount, TreeDirectory, TreeEntry
from nestbox.policy.host_mounts import take_over
from nestbox.policy.root_parts import (
    FILE_LIMIT_BYTES,
    MIB,
    PART_LIMIT_BYTES,
    TOTAL_LIMIT_BYTES,
    Ground,
    Parts,
    make_parts,
)
from tests.policy.surroundings import mount

ROOT = mount(1, 0, "/", "ext4")


def listing(path: str, *entries: TreeEntry) -> TreeDirectory:
    return TreeDirectory(path=path, entries=entries)


def inner(name: str, size: int | None = None) -> TreeEntry:
    return TreeEntry(name=name, kind="directory", size=size)


def file(name: str, size: int = 10) -> TreeEntry:
    return TreeEntry(name=name, kind="file", size=size)


def make(*tree: TreeDirectory, mounts: tuple[Mount, ...] = (ROOT,), **fields: Any) -> Parts:
    given = {"directory": "/", "full": frozenset(), "overlays": True, "readonly": False} | fields
    return make_parts(Ground(mounts=mounts, tree=tree, **given))


def test_beside_a_locked_mount_each_directory_is_an_overlay() -> None:
    mounts = (ROOT, mount(2, 1, "/etc/hosts", "ext4"))
    parts = make(
        listing("/", inner("etc"), inner("usr"), inner("proc"), file("init")),
        listing("/etc", inner("apt"), file("passwd"), file("hosts")),
        mounts=mounts,
    )
    assert [(layer.lower, layer.target) for layer in parts.layers] == [
        ("/etc/apt", "/etc/apt"),
        ("/usr", "/usr"),
    ]
    assert [(copy.source, copy.shallow) for copy in parts.copies] == [("/", True), ("/etc", True)]
    assert parts.weaker == {}


def test_attributes_of_the_mount_that_a_part_lies_on_are_kept() -> None:
    mounts = (ROOT, mount(2, 1, "/data", "ext4", options=("ro", "nosuid", "relatime")))
    parts = make(listing("/data", inner("a")), mounts=mounts)
    assert parts.layers[0].attributes == ("ro", "nosuid")
    assert parts.copies[0].plain
    assert not make(listing("/", inner("a"))).copies[0].plain


def test_a_directory_of_a_root_elsewhere_has_its_path_inside() -> None:
    parts = make(listing("/", inner("usr")), listing("/etc", file("x")), directory="/srv/root")
    assert [(layer.lower, layer.target) for layer in parts.layers] == [("/srv/root/usr", "/usr")]
    assert [(copy.source, copy.target) for copy in parts.copies] == [
        ("/srv/root", "/"),
        ("/srv/root/etc", "/etc"),
    ]


def test_where_no_overlay_can_be_made_the_small_is_copied_and_the_large_can_be_read() -> None:
    parts = make(listing("/", inner("etc", MIB), inner("usr")), full=frozenset({"/"}))
    assert parts.layers == ()
    assert [copy.target for copy in parts.copies] == ["/", "/etc"]
    assert [bind.target for bind in parts.binds] == ["/usr"]
    assert "stacks no more" in parts.weaker["/usr"] or "overlay" in parts.weaker["/usr"]


def test_no_more_than_the_limit_is_copied_the_small_first() -> None:
    many = [inner(f"d{n}", PART_LIMIT_BYTES - n) for n in range(6)]
    parts = make(listing("/", *many), full=frozenset({"/"}))
    assert parts.copied_bytes <= TOTAL_LIMIT_BYTES
    assert [copy.target for copy in parts.copies[1:]] == ["/d5", "/d4", "/d3", "/d2"]
    assert set(parts.weaker) == {"/d0", "/d1"}


def test_what_can_only_be_read_outside_is_no_loss() -> None:
    mounts = (ROOT, mount(2, 1, "/m", "overlay", options=("ro", "relatime")))
    parts = make(listing("/m", inner("a", 1)), mounts=mounts, full=frozenset({"/m"}))
    assert [bind.target for bind in parts.binds] == ["/m/a"]
    assert parts.weaker == {}


def test_large_files_beside_a_mount_are_bound() -> None:
    parts = make(listing("/", file("swap", FILE_LIMIT_BYTES + 1), file("small", 7)))
    assert parts.copies[0].limit == 7
    assert [bind.target for bind in parts.binds] == ["/swap"]


def test_a_directory_of_many_large_files_is_bound_with_its_mounts() -> None:
    many = [file(f"lib{n}.so", FILE_LIMIT_BYTES + 1) for n in range(100)]
    mounts = (ROOT, mount(2, 1, "/usr/lib/libcuda.so", "ext4"))
    parts = make(
        listing("/", inner("usr")),
        listing("/usr", inner("lib"), inner("bin")),
        listing("/usr/lib", *many, inner("x")),
        mounts=mounts,
    )
    assert [(bind.target, bind.recursive) for bind in parts.binds] == [("/usr/lib", True)]
    assert [layer.target for layer in parts.layers] == ["/usr/bin"]
    assert "/usr/lib" in parts.weaker


def test_what_may_not_be_read_is_made_empty() -> None:
    parts = make(TreeDirectory(path="/closed", entries=None))
    assert [copy.target for copy in parts.copies] == ["/closed"]


def test_a_mount_that_is_an_overlay_over_an_overlay_is_bound_unless_it_is_made_otherwise() -> None:
    mounts = (ROOT, mount(2, 1, "/a", "overlay"), mount(3, 1, "/b", "overlay"))

    def takes(one: Mount) -> bool:
        return one.target != "/a"

    tree = take_over(mounts, readonly=False, takes_overlay=takes)
    assert [layer.target for layer in tree.layers] == ["/b"]
    assert list(tree.weaker) == ["/a"]
    listed = take_over(mounts, readonly=False, takes_overlay=takes, listed=frozenset({"/a"}))
    assert [one.target for one in (*listed.layers, *listed.binds)] == ["/b"]


def test_mounts_of_a_root_elsewhere_have_their_paths_inside() -> None:
    mounts = (ROOT, mount(2, 1, "/srv/root/data", "xfs"), mount(3, 1, "/srv/root/proc", "proc"))
    tree = take_over(mounts, readonly=False, directory="/srv/root")
    assert [(one.lower, one.target) for one in tree.layers] == [("/srv/root/data", "/data")]


def test_what_has_too_long_a_path_for_a_layer_is_bound() -> None:
    name = "n" * 250
    parts = make(listing("/", inner(name), inner(":" * 128)), directory="/srv/root")
    assert parts.layers == ()
    assert len(parts.binds) == 2
    tree = take_over((ROOT, mount(2, 1, f"/{name}/{name}", "ext4")), readonly=False)
    assert (tree.layers, len(tree.binds)) == ((), 1)
