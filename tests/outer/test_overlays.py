"""Trials of overlays over mounts of this machine: which take one, and which do not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nestbox.outer.overlays import free_bytes, stacked
from nestbox.outer.throwaway import make_private
from tests.policy.surroundings import mount

pytestmark = pytest.mark.root

# Two overlays, one over the other, in a mount namespace of its own; then what is told of them.
_STACK = """
set -e
mount -t tmpfs none "$1"
cd "$1"
mkdir lower u1 w1 one u2 w2 two places
mount -t overlay -o lowerdir=lower,upperdir=u1,workdir=w1 none one
mkdir one/inner one/inner/deep
mount -t overlay -o lowerdir=one,upperdir=u2,workdir=w2 none two
mkdir places/bind
mount --bind two/inner places/bind
mount --bind two/inner/deep two/inner/deep
cd /
exec "$2" -c '
from nestbox.outer.sources import Sources
from nestbox.outer.trials import Trials
import sys
storage = Trials(sys.argv[1], "0" * 32).storage(Sources().mounts)
print(storage.bare.error, storage.bare_user.error)
print(*sorted(target.removeprefix(sys.argv[2]) for target in storage.full))
print(*sorted(target.removeprefix(sys.argv[2]) for target in storage.full_user))
' "$3" "$1/"
"""


def test_an_overlay_over_an_overlay_is_full_wherever_it_is_mounted(tmp_path):
    place, state = tmp_path / "place", tmp_path / "state"
    place.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _STACK, "sh", place, sys.executable, state],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    bare, full, full_user = done.stdout.splitlines()
    assert bare == "None None"
    assert {"two", "places/bind", "two/inner/deep"} <= set(full.split())
    assert "one" not in full.split()
    assert set(full_user.split()) == set(full.split())


def test_mounts_of_one_file_system_are_tried_once():
    mounts = (
        mount(1, 0, "/", "ext4"),
        mount(2, 1, "/a", "overlay", device="0:50"),
        mount(3, 1, "/b", "overlay", device="0:50"),
        mount(4, 1, "/c", "overlay", device="0:51"),
        mount(5, 4, "/c", "tmpfs"),
    )
    assert [[one.target for one in ones] for ones in stacked(mounts)] == [["/a", "/b"]]


def test_the_free_space_of_a_directory_to_be_made_is_that_above_it(tmp_path):
    system = os.statvfs(tmp_path)
    free = free_bytes(str(tmp_path / "a/b"))
    assert free is not None
    assert free <= system.f_blocks * system.f_frsize


@pytest.mark.parametrize(("owner", "mode"), [(65534, 0o700), (0, 0o707), (0, 0o770)])
def test_a_directory_that_others_could_prepare_is_not_used(tmp_path, owner, mode):
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(mode)
    os.chown(place, owner, owner)
    with pytest.raises(PermissionError):
        make_private(str(place))
    os.chown(place, 0, 0)
    place.chmod(0o755)
    make_private(str(place))


def test_a_directory_is_made_with_those_above_it_for_us_alone(tmp_path):
    make_private(str(tmp_path / "a/b"))
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700] * 2
