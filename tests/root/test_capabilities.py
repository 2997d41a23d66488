"""Capabilities under an outer environment that has lost some: strict, lenient, and never silent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nestbox.kernel.capabilities import BY_NAME

pytestmark = pytest.mark.usefixtures("nothing_left")

LOST = "cap_sys_boot,cap_sys_module"
DEFAULT = 0xA80425FB  # the fourteen of the common engine default


def bit(*names: str) -> int:
    return sum(1 << BY_NAME[f"CAP_{name}"] for name in names)


def outer_bounding() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("CapBnd:")).split()[1], 16)


@pytest.fixture
def launched(nestbox, image):
    """Return a function that runs the probe below a process without SYS_BOOT and SYS_MODULE."""

    def launch(*flags, lost=LOST):
        words = (*flags, "--rootfs", str(image), "--", "probe", "capabilities")
        return nestbox.under_capsh(lost, *words)

    return launch


def test_privileged_gets_exactly_the_outer_bounding_set(launched):
    done = launched("--privileged")
    expected = outer_bounding() & ~bit("SYS_BOOT", "SYS_MODULE")
    assert done.exit_code == 0, done.stderr
    assert done.sets() == {
        "bounding": expected,
        "permitted": expected,
        "effective": expected,
        "inheritable": 0,
        "ambient": 0,
    }


def test_privileged_names_the_absent_ones_in_exactly_one_line(launched):
    lines = launched("--privileged").stderr.splitlines()
    assert len(lines) == 1
    assert "CAP_SYS_BOOT" in lines[0]
    assert "CAP_SYS_MODULE" in lines[0]


def test_a_capability_asked_for_by_name_and_absent_is_refused_with_all_reasons(launched):
    done = launched("--cap-add", "SYS_BOOT")
    assert done.exit_code == 125
    assert done.stdout == ""
    assert "SYS_BOOT" in done.stderr
    assert "outer bounding set" in done.stderr
    assert "lost at pid" in done.stderr
    assert "(bash)" in done.stderr  # capsh becomes the shell that it starts
    assert "try:" in done.stderr
    assert "--cap-add SYS_BOOT?" in done.stderr


def test_a_refused_launch_creates_nothing_at_all(nestbox, launched, surroundings):
    before = surroundings()
    assert launched("--cap-add", "SYS_BOOT").exit_code == 125
    assert surroundings() == before
    assert not nestbox.state.exists()
    assert not (nestbox.storage / "layers").exists()


def test_one_error_lists_every_missing_name(launched):
    done = launched("--cap-add", "SYS_BOOT", "--cap-add", "sys_module", "--cap-add", "NET_RAW")
    assert done.exit_code == 125
    assert done.stderr.count("because:") == 1
    assert "CAP_SYS_MODULE, CAP_SYS_BOOT" in done.stderr
    assert "NET_RAW" not in done.stderr


def test_a_question_mark_makes_a_missing_name_lenient(launched):
    done = launched("--cap-add", "SYS_BOOT?")
    assert done.exit_code == 0
    assert done.sets()["bounding"] == DEFAULT
    assert "CAP_SYS_BOOT" in done.stderr


def test_dropping_what_is_absent_is_satisfied(launched):
    done = launched("--cap-drop", "SYS_BOOT")
    assert done.exit_code == 0
    assert done.sets()["effective"] == DEFAULT


def test_the_default_profile_runs_without_one_of_its_own_and_says_so(launched):
    done = launched("--profile", "default", lost="cap_mknod")
    assert done.exit_code == 0
    assert done.sets()["bounding"] == DEFAULT & ~bit("MKNOD")
    assert "CAP_MKNOD" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(
    bool(outer_bounding() & bit("SYS_RESOURCE")),
    reason="CAP_SYS_RESOURCE is in the outer bounding set",
)
class TestWithoutSysResource:
    """The first real case: this machine's init starts without CAP_SYS_RESOURCE."""

    def test_privileged_runs_and_names_it(self, nestbox, image):
        done = nestbox.run("--privileged", "--rootfs", str(image), "--", "probe", "capabilities")
        assert done.exit_code == 0
        assert done.sets()["effective"] == outer_bounding()
        assert "CAP_SYS_RESOURCE" in done.stderr

    def test_asked_for_by_name_it_is_refused(self, nestbox, image):
        done = nestbox.run("--cap-add", "SYS_RESOURCE", "--rootfs", str(image), "--", "true")
        assert done.exit_code == 125
        assert "CAP_SYS_RESOURCE" in done.stderr
        assert "outer bounding set" in done.stderr
        assert "pid 1 " in done.stderr

    def test_default_is_complete_and_silent(self, nestbox, image):
        done = nestbox.run("--rootfs", str(image), "--", "true")
        assert (done.exit_code, done.stderr) == (0, "")


def test_privileged_with_a_drop_really_drops(launched):
    sets = launched("--privileged", "--cap-drop", "SYS_ADMIN").sets()
    assert sets["effective"] == outer_bounding() & ~bit("SYS_BOOT", "SYS_MODULE", "SYS_ADMIN")
    assert sets["bounding"] == sets["effective"]


def test_privileged_with_an_add_requires_it(launched):
    done = launched("--privileged", "--cap-add", "SYS_BOOT")
    assert done.exit_code == 125
    assert "CAP_SYS_BOOT" in done.stderr
    assert "CAP_SYS_MODULE" not in done.stderr.partition("try:")[0].partition("because:")[0]


def test_drop_all_with_an_add_gives_exactly_that(launched):
    sets = launched("--cap-drop", "ALL", "--cap-add", "NET_ADMIN").sets()
    assert sets["bounding"] == sets["permitted"] == sets["effective"] == bit("NET_ADMIN")


def test_add_all_gives_everything_available_but_what_is_dropped(launched):
    sets = launched("--cap-add", "ALL", "--cap-drop", "NET_RAW").sets()
    assert sets["effective"] == outer_bounding() & ~bit("SYS_BOOT", "SYS_MODULE", "NET_RAW")


def test_a_new_user_namespace_gives_everything_in_that_namespace(launched):
    done = launched("--privileged", "--userns", "auto")
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert done.exit_code == 0, done.stderr
    assert done.sets()["effective"] == (1 << last + 1) - 1


def test_the_container_command_sees_the_same_in_the_status_file(nestbox, image):
    words = ("--rootfs", str(image), "--", "grep", "Cap", "/proc/self/status")
    done = nestbox.run(*words)
    assert int(done.status("CapEff"), 16) == DEFAULT
    assert int(done.status("CapInh"), 16) == 0
    assert int(done.status("CapAmb"), 16) == 0


@pytest.mark.parametrize("profile", ["privileged", "default", "minimal"])
@pytest.mark.parametrize("user", ["0", "1000"])
def test_inheritable_and_ambient_are_empty_for_who_did_not_ask(nestbox, image, profile, user):
    words = ("--profile", profile, "--user", user, "--rootfs", str(image), "--")
    sets = nestbox.run(*words, "probe", "capabilities").sets()
    assert sets["inheritable"] == 0
    assert sets["ambient"] == 0


def test_ambient_gives_a_user_exactly_what_was_added(nestbox, image):
    words = ("--ambient", "--cap-add", "NET_BIND_SERVICE", "--user", "1000", "--rootfs", str(image))
    sets = nestbox.run(*words, "--", "probe", "capabilities").sets()
    expected = bit("NET_BIND_SERVICE")
    assert sets["ambient"] == sets["inheritable"] == expected
    assert sets["permitted"] == sets["effective"] == expected


def test_outer_inheritable_and_ambient_do_not_leak_in(nestbox, image):
    words = nestbox.arguments(
        "--rootfs", str(image), "--user", "1000", "--", "probe", "capabilities"
    )
    before = ["setpriv", "--inh-caps=+net_raw,+sys_admin", "--ambient-caps=+net_raw,+sys_admin"]
    sets = nestbox.call([*before, *words]).sets()
    assert sets["inheritable"] == sets["ambient"] == sets["effective"] == sets["permitted"] == 0


def test_the_record_says_who_asked_what_was_given_and_why_not_more(nestbox, image):
    words = ("--privileged", "--rootfs", str(image), "--", "true")
    _, record = nestbox.recorded(*words)
    by_name = {decision["name"]: decision for decision in record["capabilities"]}
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert len(by_name) == last + 1
    assert by_name["CAP_CHOWN"]["outcome"] == "granted"
    absent = [name for name in by_name if not outer_bounding() >> BY_NAME[name] & 1]
    assert all(by_name[name]["cause"] for name in absent)
    assert record["sets"]["bounding"] == outer_bounding()


def test_values_of_variables_never_enter_the_record(nestbox, image):
    secret = os.urandom(8).hex()
    _, record = nestbox.recorded("-e", f"TOKEN={secret}", "--rootfs", str(image), "--", "true")
    assert secret not in str(record)
    assert "TOKEN" in str(record["request"]["environment"])
