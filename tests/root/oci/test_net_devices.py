"""Interfaces that are moved into a network namespace, between two real ones."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from nestbox.errors import LaunchError
from nestbox.oci.linux import LinuxNetDevice
from nestbox.runtime.oci.net_devices import move_net_devices

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make interfaces"),
]


def ip(*arguments: str) -> Any:
    """Return what ip(8) tells as JSON."""
    done = subprocess.run(["ip", "-json", *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture(name="device")
def _device() -> Iterator[str]:
    """Give an interface that is up and has a peer here."""
    name = f"nb{uuid.uuid4().hex[:8]}"
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    ip("link", "set", name, "up")
    yield name
    subprocess.run(["ip", "link", "del", f"{name}p"], check=False, capture_output=True)


@pytest.fixture(name="namespace")
def _namespace() -> Iterator[str]:
    name = f"nb{uuid.uuid4().hex[:8]}"
    ip("netns", "add", name)
    yield name
    ip("netns", "del", name)


def links(namespace: str) -> dict[str, Any]:
    return {link["ifname"]: link for link in ip("-netns", namespace, "address")}


def move(device: str, namespace: str, name: str = "") -> None:
    move_net_devices({device: LinuxNetDevice(name=name)}, f"/run/netns/{namespace}")


def test_the_interface_comes_up_with_its_attributes_and_addresses(
    device: str, namespace: str
) -> None:
    ip("link", "set", device, "mtu", "1400", "address", "02:11:22:33:44:55")
    ip("address", "add", "10.99.1.1/24", "broadcast", "10.99.1.255", "dev", device)
    ip("address", "add", "169.254.169.77/32", "dev", device)
    ip("address", "add", "fd00:99::1/64", "dev", device, "nodad")
    ip("address", "add", "127.0.0.33/32", "scope", "host", "dev", device)
    ip("address", "add", "10.99.2.1/24", "valid_lft", "600", "preferred_lft", "600", "dev", device)
    index = int(ip("link", "show", device)[0]["ifindex"])
    open_before = os.listdir("/proc/self/fd")
    move(device, namespace)
    assert len(os.listdir("/proc/self/fd")) == len(open_before)
    moved = links(namespace)[device]
    assert moved["ifindex"] == index
    assert "UP" in moved["flags"]
    assert (moved["mtu"], moved["address"]) == (1400, "02:11:22:33:44:55")
    addresses = {
        (address["local"], address["prefixlen"], address.get("broadcast"))
        for address in moved["addr_info"]
        if address["scope"] != "link"
    }
    assert addresses == {
        ("10.99.1.1", 24, "10.99.1.255"),
        ("169.254.169.77", 32, None),
        ("fd00:99::1", 64, None),
    }


def test_it_may_get_another_name(device: str, namespace: str) -> None:
    ip("address", "add", "10.99.1.1/24", "dev", device)
    move(device, namespace, "ctr0")
    assert links(namespace)["ctr0"]["addr_info"][0]["label"] == "ctr0"


def test_the_kernel_chooses_the_number_of_a_template(device: str, namespace: str) -> None:
    ip("-netns", namespace, "link", "add", "ctr0", "type", "bridge")
    ip("address", "add", "10.99.1.1/24", "dev", device)
    move(device, namespace, "ctr%d")
    assert links(namespace)["ctr1"]["addr_info"][0]["local"] == "10.99.1.1"


def test_a_name_that_is_taken_leaves_the_interface_as_it_was(device: str, namespace: str) -> None:
    ip("-netns", namespace, "link", "add", "ctr0", "type", "bridge")
    ip("address", "add", "fd00:99::1/64", "dev", device, "nodad")
    with pytest.raises(LaunchError, match="file exists"):
        move(device, namespace, "ctr0")
    (kept,) = ip("address", "show", "dev", device)
    assert "UP" in kept["flags"]
    assert "fd00:99::1" in {address["local"] for address in kept["addr_info"]}


def test_an_old_name_that_is_taken_there_does_not_matter(device: str, namespace: str) -> None:
    ip("-netns", namespace, "link", "add", device, "type", "bridge")
    move(device, namespace, "ctr0")
    assert {device, "ctr0"} <= set(links(namespace))


def test_what_is_not_there_is_named(namespace: str) -> None:
    with pytest.raises(LaunchError, match="no interface of this name"):
        move("nb-missing", namespace)


def test_what_cannot_be_moved_tells_the_kernels_reason(namespace: str) -> None:
    with pytest.raises(LaunchError, match="'lo' into the container: invalid argument"):
        move("lo", namespace, "lo1")


def test_a_namespace_that_is_not_there(device: str) -> None:
    with pytest.raises(LaunchError, match="no such file"):
        move(device, "nb-missing")


def test_a_descriptor_names_the_namespace_and_stays_open(device: str, namespace: str) -> None:
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    move_net_devices({device: LinuxNetDevice()}, fd)
    os.fstat(fd)
    os.close(fd)
    assert device in links(namespace)


def test_nothing_to_move_needs_no_namespace() -> None:
    move_net_devices({}, "/no/such/namespace")
