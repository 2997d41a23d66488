"""--device HOST[:CONTAINER][:rwm]."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.flags.devices import parse_device


@pytest.mark.parametrize(
    ("text", "source", "target", "access"),
    [
        ("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm"),
        ("/dev/fuse:rw", "/dev/fuse", "/dev/fuse", "rw"),
        ("/dev/sda:/dev/xvda", "/dev/sda", "/dev/xvda", "rwm"),
        ("/dev/sda:/dev/xvda:r", "/dev/sda", "/dev/xvda", "r"),
    ],
)
def test_a_device(text: str, source: str, target: str, access: str) -> None:
    device = parse_device(text)
    assert (device.source, device.target, device.access) == (source, target, access)
    assert device.asked_by == f"--device {text}"


@pytest.mark.parametrize(
    "text",
    ["", "fuse", ":", "/dev/a:", "/dev/a:/dev/b:", "/dev/a:x", "/dev/a:rr", "/a:/b:rwm:x", "/a::r"],
)
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_device(text)


def test_a_cdi_device_is_called_that() -> None:
    with pytest.raises(UsageError) as refused:
        parse_device("nvidia.com/gpu=all")
    assert "CDI" in refused.value.cause
