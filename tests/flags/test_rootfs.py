"""--rootfs host|DIR[:ro|:overlay|:fuse|:copy]."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.flags.rootfs import parse_rootfs
from nestbox.policy.request import RootKind, RootMode


@pytest.mark.parametrize(
    ("text", "kind", "directory", "mode"),
    [
        ("host", RootKind.HOST, "/", RootMode.DIRECT),
        ("host:ro", RootKind.HOST, "/", RootMode.READ_ONLY),
        ("host:overlay", RootKind.HOST, "/", RootMode.OVERLAY),
        ("./host", RootKind.DIRECTORY, "/here/host", RootMode.DIRECT),
        ("/srv/root", RootKind.DIRECTORY, "/srv/root", RootMode.DIRECT),
        ("/srv/root:ro", RootKind.DIRECTORY, "/srv/root", RootMode.READ_ONLY),
        ("host:copy", RootKind.HOST, "/", RootMode.COPY),
        ("root:fuse", RootKind.DIRECTORY, "/here/root", RootMode.FUSE),
        ("root:overlay", RootKind.DIRECTORY, "/here/root", RootMode.OVERLAY),
        (".", RootKind.DIRECTORY, "/here", RootMode.DIRECT),
        ("../root", RootKind.DIRECTORY, "/root", RootMode.DIRECT),
        ("a:b/c", RootKind.DIRECTORY, "/here/a:b/c", RootMode.DIRECT),
        ("a:b:rw", RootKind.DIRECTORY, "/here/a:b", RootMode.DIRECT),
    ],
)
def test_a_root(text: str, kind: RootKind, directory: str, mode: RootMode) -> None:
    root = parse_rootfs(text, "/here")
    assert (root.kind, root.directory, root.mode) == (kind, directory, mode)


@pytest.mark.parametrize("text", ["", ":ro", "root:", "root:readonly", "root:RO"])
def test_what_is_no_root_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rootfs(text, "/here")
