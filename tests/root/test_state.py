"""The state directory: whose it is, what is in its way, and two who want the same name."""

from __future__ import annotations

import os

import pytest

from tests.root.driver import end, expect_line
from tests.users import another_user

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def refused(nestbox, image):
    """Return a function that expects a refusal with cause and remedy."""

    def run(*before, **options):
        done = nestbox.run("--rootfs", f"{image}:overlay", "--", "true", before=before, **options)
        assert done.exit_code == 125, done
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        assert "because:" in done.stderr
        assert "try:" in done.stderr
        return done.stderr

    return run


class TestDirectory:
    def test_it_is_made_for_us_alone(self, nestbox, image):
        assert nestbox.run("--rootfs", str(image), "--", "true").exit_code == 0
        info = nestbox.state.stat()
        assert (info.st_mode & 0o777, info.st_uid) == (0o700, 0)

    def test_one_that_belongs_to_another_user_is_refused(self, nestbox, refused):
        nestbox.state.mkdir(parents=True, mode=0o700)
        os.chown(nestbox.state, 4000, 4000)
        assert "another user" in refused()

    def test_one_that_others_may_write_to_is_refused(self, nestbox, refused):
        nestbox.state.mkdir(parents=True)
        nestbox.state.chmod(0o777)
        assert "others may write" in refused()

    def test_a_link_is_refused(self, nestbox, refused, tmp_path):
        nestbox.directory.mkdir()
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        nestbox.state.symlink_to(tmp_path / "elsewhere")
        assert "not a directory" in refused()
        assert list((tmp_path / "elsewhere").iterdir()) == []
        nestbox.state.unlink()

    def test_a_file_is_refused(self, nestbox, refused):
        nestbox.directory.mkdir()
        nestbox.state.write_text("")
        assert "not a directory" in refused()
        nestbox.state.unlink()

    def test_a_read_only_place_is_refused(self, nestbox, refused):
        nestbox.state.mkdir(parents=True, mode=0o700)
        script = f'mount -t tmpfs -o ro,mode=700 none {nestbox.state} && exec "$@"'
        assert "read-only file system" in refused("unshare", "-m", "sh", "-c", script, "sh")

    def test_without_storage_an_overlay_keeps_what_is_written_in_memory(self, nestbox, image):
        nestbox.directory.mkdir()
        nestbox.storage.write_text("")
        words = ("--rootfs", f"{image}:overlay", "--", "sh", "-c", "echo x > /x; cat /x")
        done, record = nestbox.recorded(*words)
        nestbox.storage.unlink()
        assert (done.exit_code, done.stdout) == (0, "x\n")
        root = next(one for one in record["decisions"] if one["subject"].startswith("root"))
        assert "tmpfs" in str(root)

    @pytest.mark.parametrize("where", ["state", "storage"])
    @pytest.mark.parametrize("size", ["4k", "8k", "16k", "64k"])
    def test_a_full_disk_is_told_or_does_not_matter(self, nestbox, image, where, size):
        place = nestbox.directory / where
        place.mkdir(parents=True, mode=0o700)
        fill = f"dd if=/dev/zero of={place}/filler bs=1k 2>/dev/null"
        script = (
            f'mount -t tmpfs -o size={size},mode=700 none {place}; {fill}; "$@"; '
            f"code=$?; ls -A {place}; exit $code"
        )
        words = nestbox.arguments("--rootfs", f"{image}:overlay", "--", "true")
        done = nestbox.call(["unshare", "-m", "sh", "-c", script, "sh", *words])
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        left = set(done.stdout.split()) - {"filler", "@records", "layers", "seccomp", "facts"}
        assert not left
        if done.exit_code != 0:
            assert done.exit_code == 125
            assert "no space left" in done.stderr
            assert str(place) in done.stderr

    def test_a_disk_without_inodes_is_told_or_does_not_matter(self, nestbox, image):
        nestbox.state.mkdir(parents=True, mode=0o700)
        script = f'mount -t tmpfs -o nr_inodes=3,mode=700 none {nestbox.state}; exec "$@"'
        words = nestbox.arguments("--rootfs", str(image), "--", "true")
        done = nestbox.call(["unshare", "-m", "sh", "-c", script, "sh", *words])
        assert done.exit_code == 125
        assert "because: no space left" in done.stderr

    @pytest.mark.parametrize(
        "content",
        ["", "{", "[]", '{"id":7}', "\0" * 100],
        ids=["empty", "cut", "list", "type", "nul"],
    )
    def test_a_damaged_state_of_a_dead_container_is_no_obstacle(self, nestbox, image, content):
        broken = nestbox.state / "broken"
        broken.mkdir(parents=True, mode=0o700)
        nestbox.state.chmod(0o700)
        (broken / "lock").write_text("")
        (broken / "state.json").write_text(content)
        done = nestbox.run("--rootfs", str(image), "--", "true")
        assert (done.exit_code, done.stderr) == (0, "")
        assert not broken.exists()

    def test_a_state_that_names_what_is_not_ours_is_not_followed(self, nestbox, image, tmp_path):
        """The directory is closed to others, but a state may be old, or damaged by us."""
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "file").write_text("kept")
        old = nestbox.state / "old"
        old.mkdir(parents=True, mode=0o700)
        nestbox.state.chmod(0o700)
        (old / "lock").write_text("")
        (old / "state.json").write_text(
            f'{{"id":"old","created":"","boot_id":"","cgroups":["{precious}"],"upper":"{precious}"}}'
        )
        done = nestbox.run("--rootfs", str(image), "--", "true")
        assert done.exit_code == 0
        assert (precious / "file").exists()


class TestProc:
    def test_a_false_status_file_is_not_believed(self, nestbox, image, tmp_path):
        false = tmp_path / "status"
        false.write_text("Name:\tx\nCapBnd:\tzzzz\n")
        script = f'mount --bind {false} /proc/$$/task/$$/status && exec "$@"'
        words = nestbox.arguments("--rootfs", str(image), "--", "true")
        done = nestbox.call(["unshare", "-m", "sh", "-c", script, "sh", *words])
        assert done.exit_code == 125
        assert "because: it is not on a proc file system" in done.stderr


class TestNames:
    @pytest.fixture
    def named(self, nestbox, image):
        """Return a function that starts a container of one name."""
        name = f"{nestbox.prefix}-named"

        def start(script):
            words = ("--name", name, "--rootfs", str(image), "--", "sh", "-c", script)
            return nestbox.start(*words)

        return start

    def test_a_name_in_use_is_refused(self, named):
        first = named("echo ready; trap 'exit 0' TERM; while :; do sleep 0.05; done")
        expect_line(first, b"ready")
        second = end(named("true"))
        assert second.exit_code == 125
        assert "already exists" in second.stderr
        first.terminate()
        assert end(first).exit_code == 0

    def test_a_name_is_free_again_afterwards(self, named):
        assert end(named("true")).exit_code == 0
        assert end(named("true")).exit_code == 0

    def test_of_several_at_once_exactly_one_wins(self, nestbox, named, tmp_path):
        """Each winner holds the name until every other one has ended."""
        script = "echo ready; trap 'exit 0' TERM; while :; do sleep 0.05; done"
        started = [named(script) for _ in range(6)]
        won = [process for process in started if process.stdout.readline() == b"ready\n"]
        assert len(won) == 1
        won[0].terminate()
        codes = sorted(end(process).exit_code for process in started)
        assert codes == [0, 125, 125, 125, 125, 125]


def test_another_user_has_a_state_directory_of_its_own(nestbox, tmp_path):
    """Without rights nestbox either runs with what a user namespace gives, or says why not."""
    done = nestbox.call(
        [*another_user(4000), *nestbox.command,
         "run", "--", "true"],
        env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": "/nonexistent", "HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.exit_code in {0, 125, 126}
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
