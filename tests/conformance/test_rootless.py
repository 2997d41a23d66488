"""The ordinary user of runc's suite: who it is, and what each mode gives it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from integration.conformance import rootless

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="binds accounts over those of the machine"
)


def _ask(given: rootless.User, script: str) -> str:
    done = subprocess.run(
        [*given.words, "sh", "-c", script],
        env={**os.environ, **given.variables},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("mode", ["none", "idmap"])
def test_the_user_has_a_name_and_the_ids_of_the_mode(mode: str, tmp_path: Path) -> None:
    with rootless.user(mode, tmp_path) as given:
        assert _ask(given, "id -un; cat /etc/subuid") == (
            "rootless\nrootless:100000:65536\n" if mode == "idmap" else "rootless\n"
        )
        assert ("ROOTLESS_UIDMAP_START" in given.variables) == (mode == "idmap")
        assert _ask(given, "grep CapPrm /proc/self/status").split() == ["CapPrm:", "0" * 16]


def test_the_helpers_are_hidden_where_there_is_nothing_to_map(tmp_path: Path) -> None:
    with rootless.user("none", tmp_path) as given:
        covered = given.variables["COVERED"].split()
        assert (
            _ask(given, f"for tool in {' '.join(covered)}; do [ -x $tool ] && echo $tool; done; :")
            == ""
        )


def test_delegated_cgroups_are_the_users_and_go_again(tmp_path: Path) -> None:
    find = "find /sys/fs/cgroup -maxdepth 2 -name runc-cgroups-integration-test"
    with rootless.user("cgroup", tmp_path) as given:
        found = _ask(given, f"{find} -writable").split()
        assert found
        assert (
            _ask(given, f"mkdir {found[0]}/mine && rmdir {found[0]}/mine && echo made") == "made\n"
        )
    assert subprocess.run(find.split(), capture_output=True, text=True, check=True).stdout == ""
