"""Processes, the root, the scratch directory and the kernel's table of cgroup hierarchies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import bundle, controllers, process, root, scratch


def test_a_run_is_timed_and_its_output_kept() -> None:
    finished = process.run(["/bin/sh", "-c", "echo out; echo err >&2"])
    assert finished.stdout == "out\n"
    assert 0 < finished.seconds < 60


def test_a_failed_run_says_what_ran_and_what_it_wrote() -> None:
    with pytest.raises(process.LaunchFailedError, match="status 3: went wrong"):
        process.run(["/bin/sh", "-c", "echo went wrong >&2; exit 3"])


def test_a_run_ended_by_a_signal_has_failed() -> None:
    with pytest.raises(process.LaunchFailedError, match="status -9"):
        process.run(["/bin/sh", "-c", "kill -KILL $$"])


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(process.LaunchFailedError, match="/no/such/program cannot be started"):
        process.run(["/no/such/program"])


def test_inputs_are_open_at_their_descriptors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    finished = process.run(["/bin/sh", "-c", "cat <&9"], inputs={9: str(tmp_path / "file")})
    assert finished.stdout == "content"


def test_the_root_holds_programs_that_run_without_shared_objects(tmp_path: Path) -> None:
    built = root.build(tmp_path / "root")
    assert {path.name for path in built.iterdir()} == set(root.DIRECTORIES)
    done = subprocess.run(
        [built / "bin" / "cat", built / "etc" / "group"], capture_output=True, check=True
    )
    assert done.stdout == b"root:x:0:\n"


def test_the_scratch_directory_is_removed_with_its_content() -> None:
    with scratch.directory() as path:
        (path / "below").mkdir()
    assert not path.exists()


def test_only_mounts_below_a_directory_are_found() -> None:
    mountinfo = (
        "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /a/b rw - tmpfs b rw\n3 1 0:3 / /ab rw - proc c rw\n"
    )
    assert scratch.mounts_below(Path("/a"), mountinfo) == ["/a/b"]


def test_a_hierarchy_is_found_in_the_kernels_table() -> None:
    table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t9\t1\nhugetlb\t0\t1\t1\n"
    assert controllers.hierarchy(table, "memory") == (4, 9)
    assert controllers.hierarchy(table, "hugetlb") == (0, 1)
    with pytest.raises(KeyError):
        controllers.hierarchy(table, "rdma")


def test_the_capability_mask_is_that_of_the_common_engines() -> None:
    assert bundle.capability_mask() == 0xA80425FB
    assert len(set(bundle.CAPABILITIES)) == bundle.capability_mask().bit_count()


def test_the_configuration_restricts_what_exists_and_grants_no_ambient(tmp_path: Path) -> None:
    config = bundle.config(tmp_path, ["true"], bundle.restrictions(), cgroups=(), seccomp=None)
    restricted = config["linux"]["maskedPaths"] + config["linux"]["readonlyPaths"]
    assert restricted
    assert all(Path(path).exists() for path in restricted)
    assert set(config["process"]["capabilities"]) == {"bounding", "effective", "permitted"}
    assert "seccomp" not in config["linux"]
    assert "/sys/fs/cgroup" not in {mount["destination"] for mount in config["mounts"]}
