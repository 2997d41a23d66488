"""nestbox inside its own containers, inside a user namespace, and with few resources."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")


def inner(nestbox, *arguments):
    """Return the words of a run inside a container, which has a state directory of its own."""
    state = ("-e", "NESTBOX_ROOT=/run/inner", "-e", "NESTBOX_STORAGE=/var/lib/inner")
    return (*state, "--rootfs", "host", "--", *nestbox.command, "run", *arguments)


def test_a_container_can_be_launched_inside_a_privileged_one(nestbox, image):
    words = inner(nestbox, "--rootfs", str(image), "--", "probe", "capabilities")
    done = nestbox.run("--privileged", *words)
    assert done.exit_code == 0, done.stderr
    assert done.sets()["effective"] == 0xA80425FB


def test_a_privileged_one_inside_a_privileged_one_has_the_same_rights(nestbox, image):
    command = ("--rootfs", str(image), "--", "probe", "capabilities")
    outer = nestbox.run("--privileged", *command)
    done = nestbox.run("--privileged", *inner(nestbox, "--privileged", *command))
    assert done.exit_code == 0, done.stderr
    assert done.sets() == outer.sets()


def test_limits_are_kept_inside_limits(nestbox, image):
    command = ("--pids-limit", "5", "--rootfs", str(image), "--", "probe", "fork", "20")
    done = nestbox.run("--privileged", "--pids-limit", "50", *inner(nestbox, *command))
    assert done.exit_code in {0, 125}, done
    if done.exit_code == 0:
        assert done.facts["fork"] == "11"
        assert int(done.facts["forked"]) == 4
    else:
        assert "pids" in done.stderr
        assert "because:" in done.stderr


def test_what_a_confined_container_does_not_allow_is_named(nestbox, image):
    done = nestbox.run(*inner(nestbox, "--rootfs", str(image), "--", "true"))
    assert done.exit_code == 125
    assert "SYS_ADMIN" in done.stderr
    assert "internal error" not in done.stderr


def test_in_a_user_namespace_with_one_id_root_runs(nestbox, image):
    words = ("--rootfs", str(image), "--", "probe", "ids")
    done = nestbox.run(*words, before=["unshare", "--user", "--map-root-user", "--mount"])
    assert done.exit_code == 0, done.stderr
    assert done.facts["uid"] == "0"


def test_in_a_user_namespace_with_one_id_another_user_is_refused(nestbox, image):
    words = ("--user", "1000", "--rootfs", str(image), "--", "true")
    done = nestbox.run(*words, before=["unshare", "--user", "--map-root-user", "--mount"])
    assert done.exit_code == 125
    assert "1000" in done.stderr
    assert "because:" in done.stderr


@pytest.mark.parametrize(
    "limit", ["--nofile=8:8", "--nofile=16:16", "--fsize=100", "--as=50000000"]
)
def test_a_caller_with_few_resources_gets_a_container_or_one_error(nestbox, image, limit):
    words = ("--rootfs", str(image), "--", "true")
    done = nestbox.run(*words, before=["prlimit", limit])
    if done.exit_code != 0 and done.stderr.startswith("nestbox:"):
        assert done.exit_code == 125
        assert done.stderr.count("because:") == 1
    assert "internal error" not in done.stderr


def test_outer_no_new_privileges_is_inherited(nestbox, image):
    words = ("--rootfs", str(image), "--", "probe", "attributes")
    done = nestbox.run(*words, before=["setpriv", "--no-new-privs"])
    assert done.facts["no_new_privs"] == "1"


def test_an_outer_umask_and_priority_do_not_change_the_root(nestbox, image):
    words = ("--rootfs", f"{image}:overlay", "--", "sh", "-c", "umask; mkdir /d; stat -c %a / /d")
    done = nestbox.run(*words, before=["sh", "-c", 'umask 077; exec "$@"', "sh"])
    assert done.stdout.split() == ["0022", "755", "755"]
