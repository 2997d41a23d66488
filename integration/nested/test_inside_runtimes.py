"""nestbox inside containers of runc, crun and nestbox-runtime, as their own `spec` writes them.

That container has three capabilities, a read-only root, no_new_privs, masked paths and no filter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration.engines import runtimes
from integration.engines.enclosure import Done, Enclosure
from integration.engines.inside import NESTBOX, TREE, empty_archive, remedy_of

JOB = (NESTBOX, "run", "--rootfs=/rootfs", "--", "id", "-u")
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
Config = dict[str, Any]


@pytest.fixture(params=runtimes.NAMES)
def start(request, place: Enclosure, root: Path) -> Callable[..., Done]:
    """Return a function that runs a program in a container whose config.json was changed."""
    runtime = runtimes.find(request.param)
    bundle = place.place / f"bundle-{runtime.name}"
    if not bundle.exists():
        bundle.mkdir()
        empty_archive(place.place)
        place.run("cp", "-a", place.place / "empty", bundle / "rootfs")
        place.run(runtime.path, "spec", "--bundle", bundle)
        (bundle / "spec.json").write_bytes((bundle / "config.json").read_bytes())

    def call(*changes: Callable[[Config], None]) -> Done:
        config = json.loads((bundle / "spec.json").read_text())
        config["process"] |= {"args": JOB, "terminal": False}
        config["process"].pop("rlimits", None)
        config["mounts"] += [
            _bind("/usr", "/usr", "ro"),
            _bind(str(TREE), str(TREE), "ro"),
            _bind(str(root), "/rootfs"),
        ]
        for change in changes:
            change(config)
        (bundle / "config.json").write_text(json.dumps(config))
        return place.run(
            runtime.path, "run", "--bundle", bundle, f"inside-{runtime.name}", check=False
        )

    return call


def _bind(source: str, target: str, *options: str) -> Config:
    return {
        "destination": target,
        "type": "bind",
        "source": source,
        "options": ["rbind", *options],
    }


def with_run(config: Config) -> None:
    """What --tmpfs /run is."""
    config["mounts"].append(
        {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}
    )


def with_capabilities(*names: str) -> Callable[[Config], None]:
    """What --cap-add is."""

    def change(config: Config) -> None:
        sets = config["process"]["capabilities"]
        for kind in SETS[:3]:
            sets[kind] = [*sets.get(kind, []), *(f"CAP_{name}" for name in names)]

    return change


def as_user(config: Config) -> None:
    """What --user 1000 is: it has no capabilities that are effective."""
    config["process"]["user"] = {"uid": 1000, "gid": 1000}
    for kind in SETS[1:]:
        config["process"]["capabilities"][kind] = []


def in_user_namespace(config: Config) -> None:
    """What --userns-remap is."""
    config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind] = [{"containerID": 0, "hostID": 0, "size": 65536}]


def test_without_a_place_for_state_it_says_so(start):
    done = start(with_capabilities("SETFCAP"))
    assert done.status == 125, done
    assert "--tmpfs /run" in remedy_of(done)


def test_a_root_that_may_not_be_mapped_is_told_which_capability(start):
    done = start(with_run)
    assert done.status == 125, done
    assert "--cap-add SETFCAP" in remedy_of(done)
    done = start(with_run, with_capabilities("SETFCAP"))
    assert (done.status, done.out) == (0, "0\n"), done


def test_a_user_needs_no_capability(start):
    def for_all(config: Config) -> None:
        with_run(config)
        config["mounts"][-1]["options"] = ["mode=1777"]
        config["process"]["args"] = [word.replace("/rootfs", "/usr:overlay") for word in JOB]
        config["process"]["args"][-2] = "/bin/id"
        config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})

    done = start(as_user, for_all)
    assert (done.status, done.out) == (0, "0\n"), done


def test_sys_admin_is_enough_by_itself(start):
    done = start(with_run, with_capabilities("SYS_ADMIN"))
    assert (done.status, done.out) == (0, "0\n"), done
    assert "user-namespace" not in done.err


@pytest.mark.parametrize("names", [(), ("SYS_ADMIN",), ("SETFCAP",)])
def test_in_a_user_namespace_root_needs_one_of_two(start, names):
    done = start(with_run, in_user_namespace, with_capabilities(*names))
    assert done.status == (0 if names else 125), done
