"""What ``spec`` writes, beside what runc writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nestbox.oci.config import SPEC_VERSION
from nestbox.oci.template import rootless_template, template

needs_runc = pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed")


def written_by_runc(directory: Path, *flags: str) -> str:
    subprocess.run(["runc", "spec", *flags], cwd=directory, check=True)
    return (directory / "config.json").read_text()


def lines(text: str) -> list[str]:
    """Return the lines of a configuration of runc, as a runc of today writes them.

    The version and the ambient set, which runc left out in 1.2, are the only differences.
    """
    value: dict[str, Any] = json.loads(text)
    value["ociVersion"] = SPEC_VERSION
    value["process"]["capabilities"].pop("ambient", None)
    return json.dumps(value, indent="\t").split("\n")


def has_cgroup_namespace(text: str) -> bool:
    return {"type": "cgroup"} in json.loads(text)["linux"]["namespaces"]


@needs_runc
def test_it_is_the_same_as_runcs(tmp_path: Path) -> None:
    theirs = written_by_runc(tmp_path)
    ours = template(cgroup_namespace=has_cgroup_namespace(theirs))
    assert ours.split("\n") == lines(theirs)


@needs_runc
def test_the_rootless_one_is_the_same_as_runcs(tmp_path: Path) -> None:
    theirs = written_by_runc(tmp_path, "--rootless")
    ours = rootless_template(
        uid=os.geteuid(), gid=os.getegid(), cgroup_namespace=has_cgroup_namespace(theirs)
    )
    assert ours.split("\n") == lines(theirs)


def test_a_cgroup_namespace_comes_before_the_users() -> None:
    value = json.loads(rootless_template(uid=5, gid=6, cgroup_namespace=True))
    kinds = [namespace["type"] for namespace in value["linux"]["namespaces"]]
    assert kinds == ["pid", "ipc", "uts", "mount", "cgroup", "user"]
    assert value["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 5, "size": 1}]
    assert value["linux"]["gidMappings"] == [{"containerID": 0, "hostID": 6, "size": 1}]


def test_it_is_indented_by_tabs() -> None:
    text = template(cgroup_namespace=True)
    assert text.startswith('{\n\t"ociVersion": "1.3.0",\n\t"process": {\n\t\t"terminal": true,\n')
    assert text.endswith("\n}")
    assert not any(line.startswith(" ") for line in text.split("\n"))
