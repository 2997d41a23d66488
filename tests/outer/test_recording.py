"""Recordings: what is saved is what is loaded, and anything else is refused in words."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from nestbox.errors import UsageError
from nestbox.outer import probe, recording
from nestbox.outer.facts import OuterEnvironment, Subject
from nestbox.version import VERSION

ENVIRONMENTS = sorted((Path(__file__).parent.parent / "environments").glob("*.json"))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return probe.observe(probe.ALL_SUBJECTS, state_directory=str(tmp_path_factory.mktemp("state")))


def test_an_observation_survives_saving_and_loading(here):
    assert recording.load(recording.save(here)) == here


def test_a_part_of_an_observation_survives_as_well(here):
    part = OuterEnvironment(kernel=here.kernel)
    assert recording.load(recording.save(part)) == part


def test_a_name_that_is_not_utf_8_survives(here):
    mount = msgspec.structs.replace(here.mounts[0], target="/mnt/\udcff\udc80 \u00e9")
    strange = msgspec.structs.replace(here, mounts=(mount,))
    text = recording.save(strange)
    assert text.isascii()
    assert recording.load(text) == strange
    assert recording.fingerprint(strange) == recording.fingerprint(here)


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_a_committed_recording_is_complete_and_in_the_present_form(path):
    text = path.read_bytes()
    environment = recording.load(text)
    missing = {name for name in Subject if getattr(environment, name.value) is None}
    assert missing == set()
    assert recording.save(environment) == text


def test_two_environments_are_committed():
    assert len(ENVIRONMENTS) >= 2


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"not json", "not JSON"),
        (b'{"format": 1, "kernel": "\\ud800"', "not JSON"),
        (b"[]", "its format is None"),
        (b"null", "its format is None"),
        (b'{"format": 2}', "its format is 2"),
        (b'{"format": "1"}', "its format is '1'"),
        (b'{"format": 1, "kernel": 6}', "got `int` - at `$.kernel`"),
        (b'{"format": 1, "kernel": {"release": "6"}}', "missing required field"),
        (b'{"format": 1, "sysctls": {"a": 1}}', "$.sysctls"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_place(text, cause):
    with pytest.raises(UsageError) as caught:
        recording.load(text)
    assert cause in caught.value.cause
    assert caught.value.what == "cannot read the recorded environment"
    assert caught.value.remedy


def test_the_fingerprint_is_the_same_for_the_same_environment(here, tmp_path):
    again = probe.observe(probe.ALL_SUBJECTS, state_directory=str(tmp_path))
    assert recording.fingerprint(again) == recording.fingerprint(here)
    assert len(recording.fingerprint(here)) == 32


def _changes(environment):
    """Yield the environment with one thing changed that a trial's outcome depends on."""
    replace = msgspec.structs.replace
    sets = replace(environment.capabilities.sets, bounding=1)
    yield replace(environment, kernel=replace(environment.kernel, boot_id="another"))
    yield replace(environment, capabilities=replace(environment.capabilities, sets=sets))
    yield replace(environment, capabilities=replace(environment.capabilities, no_new_privs=True))
    yield replace(environment, identity=replace(environment.identity, uid=12345))
    own = {**environment.namespaces.own, "mnt": 1}
    yield replace(environment, namespaces=replace(environment.namespaces, own=own))
    yield replace(environment, seccomp=replace(environment.seccomp, filters=9))
    hierarchies = [replace(h, path=h.path + "x") for h in environment.cgroup.hierarchies]
    yield replace(environment, cgroup=replace(environment.cgroup, hierarchies=tuple(hierarchies)))


def test_the_fingerprint_changes_with_everything_that_a_trial_depends_on():
    environment = recording.load(ENVIRONMENTS[0].read_bytes())
    prints = [recording.fingerprint(changed) for changed in _changes(environment)]
    assert len({recording.fingerprint(environment), *prints}) == len(prints) + 1


def test_the_fingerprint_does_not_depend_on_the_process(here):
    identity = msgspec.structs.replace(here.identity, pid=1, umask=0)
    other = msgspec.structs.replace(here, identity=identity, ancestry=())
    assert recording.fingerprint(other) == recording.fingerprint(here)


def test_a_fingerprint_without_its_facts_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match=r"needs: .*capabilities.*cgroup"):
        recording.fingerprint(OuterEnvironment())


def test_the_subjects_of_the_fingerprint_are_enough(tmp_path):
    found = probe.observe(recording.FINGERPRINT_SUBJECTS, state_directory=str(tmp_path))
    assert recording.fingerprint(found)


def test_the_version_is_the_project_s():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
