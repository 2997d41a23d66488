"""Whom a container's cgroup is given to."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.oci.config import Config
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.cgroup_owner import cgroup_owner

V2 = CgroupLocation(version=2)


def config(*, options=(), namespaces=("cgroup", "user"), target="/sys/fs/cgroup", uid=5) -> Config:
    return msgspec.convert(
        {
            "ociVersion": "1.3.0",
            "process": {"cwd": "/", "user": {"uid": uid, "gid": 0}, "args": ["x"]},
            "root": {"path": "/"},
            "mounts": [
                {"destination": target, "type": "cgroup", "source": "cgroup", "options": options}
            ],
            "linux": {
                "namespaces": [{"type": name} for name in namespaces],
                "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            },
        },
        Config,
    )


def test_it_is_the_user_of_the_process():
    assert cgroup_owner(config(), V2) == 1005
    assert cgroup_owner(config(namespaces=("cgroup",)), V2) == 5
    assert cgroup_owner(config(options=("ro", "nosuid", "rw")), V2) == 1005


@pytest.mark.parametrize(
    ("case", "location"),
    [
        (config(options=("nosuid", "ro")), V2),
        (config(namespaces=("user",)), V2),
        (config(target="/cgroup"), V2),
        (config(uid=77), V2),
        (config(), CgroupLocation(version=1)),
    ],
    ids=["read-only", "no cgroup namespace", "elsewhere", "not mapped", "version 1"],
)
def test_it_stays_as_it_was_made(case, location):
    assert cgroup_owner(case, location) is None
