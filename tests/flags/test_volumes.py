"""-v, --mount and --tmpfs: the syntax alone."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.flags.volumes import parse_mount, parse_tmpfs, parse_volume
from nestbox.policy.request import MountRequest


@pytest.mark.parametrize(
    ("text", "source", "target", "options"),
    [
        ("/src:/dst", "/src", "/dst", ()),
        ("/src:/dst:ro", "/src", "/dst", ("ro",)),
        ("/src:/dst:ro,rshared", "/src", "/dst", ("ro", "rshared")),
        (".:/dst", "/here", "/dst", ()),
        ("./src:/dst", "/here/src", "/dst", ()),
        ("../src:/dst", "/src", "/dst", ()),
        # A bare word names a volume; that nestbox keeps none is for the policy to say.
        ("data:/dst", "data", "/dst", ()),
        ("/src:relative", "/src", "relative", ()),
    ],
)
def test_a_volume(text: str, source: str, target: str, options: tuple[str, ...]) -> None:
    mount = parse_volume(text, "/here")
    assert (mount.type, mount.source, mount.target, mount.options) == (
        "bind",
        source,
        target,
        options,
    )
    assert mount.asked_by == f"-v {text}"
    assert not mount.must_exist


@pytest.mark.parametrize("text", ["", ":/dst", "/src:", "/src:/dst:", "/a:/b:ro:z", "::"])
def test_what_is_no_volume_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_volume(text, "/here")
    assert "-v SOURCE:TARGET" in refused.value.remedy


@pytest.mark.parametrize(
    "mount", [parse_volume("/dst", "/here"), parse_mount("type=volume,target=/dst", "/here")]
)
def test_a_volume_without_a_source_is_new(mount: MountRequest) -> None:
    assert (mount.type, mount.source, mount.target) == ("volume", "", "/dst")
    assert not mount.must_exist


def test_there_are_no_volumes_with_a_name() -> None:
    with pytest.raises(UsageError) as refused:
        parse_mount("type=volume,source=data,target=/dst", "/here")
    assert "no named volumes" in refused.value.cause


def test_a_tmpfs() -> None:
    mount = parse_tmpfs("/cache:size=64m,noexec")
    assert (mount.type, mount.target, mount.options) == ("tmpfs", "/cache", ("size=64m", "noexec"))
    assert parse_tmpfs("/cache").options == ()


@pytest.mark.parametrize("text", ["", ":size=1m", "/cache:"])
def test_what_is_no_tmpfs_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tmpfs(text)


@pytest.mark.parametrize(
    ("text", "source", "options"),
    [
        ("type=bind,source=/src,target=/dst", "/src", ()),
        ("type=bind,src=/src,dst=/dst,readonly", "/src", ("ro",)),
        ("type=bind,src=./src,destination=/dst,ro=true", "/here/src", ("ro",)),
        ("type=bind,src=/src,dst=/dst,readonly=false", "/src", ("rw",)),
        ("type=bind,src=/src,dst=/dst,bind-propagation=rslave", "/src", ("rslave",)),
        ("type=bind,src=/src,dst=/dst,bind-nonrecursive", "/src", ("bind",)),
        ("type=bind,src=/src,dst=/dst,bind-recursive=disabled", "/src", ("bind",)),
        ("type=bind,src=/src,dst=/dst,bind-recursive=readonly", "/src", ("rbind", "rro")),
        ("type=bind,src=/src,dst=/dst,consistency=cached", "/src", ()),
        ('type=bind,"source=/a,b",target=/dst', "/a,b", ()),
    ],
)
def test_a_bind_of_mount(text: str, source: str, options: tuple[str, ...]) -> None:
    mount = parse_mount(text, "/here")
    assert (mount.type, mount.source, mount.target) == ("bind", source, "/dst")
    assert mount.options == options
    assert mount.must_exist


def test_a_tmpfs_of_mount() -> None:
    mount = parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770", "/here")
    assert (mount.type, mount.source, mount.target) == ("tmpfs", "", "/t")
    assert mount.options == ("size=1048576", "mode=1770")
    assert not mount.must_exist


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("source=/a,target=/b", "no type"),
        ("type=volume,source=a,target=/b", "volume"),
        ("type=bnid,source=/a,target=/b", "'bnid'"),
        ("type=bind,target=/b", "no source"),
        ("type=bind,source=/a", "no target"),
        ("type=bind,source=/a,target=/b,target=/c", "2 times"),
        ("type=bind,source=/a,src=/b,target=/c", "2 times"),
        ("type=tmpfs,source=/a,target=/b", "no source"),
        ("type=bind,source=/a,target=/b,readonly=maybe", "'maybe'"),
        ("type=bind,source=/a,target=/b,bind-propagatoin=shared", "did you mean bind-propagation"),
        ("type=bind,source=/a,target=/b,tmpfs-size=1m", "type bind has no tmpfs-size"),
        ("type=bind,source=/a,target=/b,bind-recursive=maybe", "'maybe'"),
        ("type=tmpfs,target=/b,tmpfs-size=much", "'much'"),
        ('type=bind,"source=/a', "quotes"),
        ("type=bind,,source=/a", "empty"),
    ],
)
def test_what_is_no_mount_is_refused_and_the_error_says_why(text: str, word: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_mount(text, "/here")
    assert word in refused.value.cause
    assert refused.value.what.startswith("--mount ")
