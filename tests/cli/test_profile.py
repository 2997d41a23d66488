"""`nestbox profile`: which there are, what they say, what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program

PROFILES = Path(__file__).parents[2] / "profiles"


def own_profiles(nestbox: Program) -> Path:
    directory = nestbox.base / "config" / "nestbox" / "profiles"
    directory.mkdir(parents=True)
    return directory


def test_the_list_has_the_shipped_profiles_and_ones_own(nestbox: Program) -> None:
    mine = own_profiles(nestbox) / "mine.yaml"
    mine.write_text("name: mine\ndescription: for me\nnetwork: none\n")
    (mine.parent / "bad.yaml").write_text("name: bad\nnetwrok: none\n")
    (mine.parent / "default.yaml").write_text("name: default\n")
    lines = [line.split() for line in nestbox("profile", "list").stdout.splitlines()]
    names = [line[0] for line in lines if line[0] in {"NAME", "default", "minimal", "privileged",
                                                       "mine", "bad"}]  # fmt: skip
    assert names == ["NAME", "default", "minimal", "privileged", "bad", "default", "mine"]
    text = nestbox("profile", "list").stdout
    assert "for me" in text
    assert "not usable" in text
    assert "never found" in text


def test_the_list_for_programs(nestbox: Program) -> None:
    entries = json.loads(nestbox("profile", "list", "-o", "json").stdout)
    assert [entry["name"] for entry in entries] == ["default", "minimal", "privileged"]


@pytest.mark.parametrize("name", ["default", "minimal", "privileged"])
def test_a_shipped_profile_is_shown_as_it_is_written(nestbox: Program, name: str) -> None:
    assert nestbox("profile", "show", name).stdout == (PROFILES / f"{name}.yaml").read_text()


def test_a_profile_for_programs_is_complete(nestbox: Program) -> None:
    (nestbox.directory / "mine.yaml").write_text("name: mine\nextends: minimal\nnetwork: host\n")
    assert "extends: minimal" in nestbox("profile", "show", "./mine.yaml").stdout
    shown = json.loads(nestbox("profile", "show", "-o", "json", "./mine.yaml").stdout)
    assert shown["network"]["want"] == "host"
    assert shown["seccomp"]["want"] == "strict"
    assert shown["no_new_privs"] is True


def test_an_unknown_profile_is_an_error_that_names_the_near_one(nestbox: Program) -> None:
    done = nestbox("profile", "show", "minmal")
    assert (done.returncode, done.stdout) == (125, "")
    assert "minimal" in done.stderr


def test_a_check_tells_of_every_file_what_is_wrong_with_it(nestbox: Program) -> None:
    (nestbox.directory / "good.yaml").write_text("name: good\nnetwork: none\n")
    (nestbox.directory / "bad.yaml").write_text("name: bad\nnetwrok: none\nsys: rx\n")
    done = nestbox("profile", "check", "good.yaml", "bad.yaml", "missing.yaml")
    assert done.returncode == 125
    assert done.stdout == "good.yaml: ok, profile good\n"
    assert "bad.yaml:2:1" in done.stderr
    assert "bad.yaml:3:" in done.stderr
    assert "missing.yaml" in done.stderr
    assert nestbox("profile", "check", "good.yaml").returncode == 0


def test_a_shipped_profile_shown_into_a_file_is_the_beginning_of_ones_own(
    nestbox: Program,
) -> None:
    text = nestbox("profile", "show", "default").stdout
    (nestbox.directory / "own.yaml").write_text(text.replace("name: default", "name: own"))
    assert nestbox("profile", "check", "own.yaml").stdout == "own.yaml: ok, profile own\n"
