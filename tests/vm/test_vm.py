"""What the virtual machines of integration/vm tell, and what their disk is made of."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from integration.vm import image, kernels
from integration.vm.reporting import RESULTS, SHARE_FLAG, WANTED
from integration.vm.session import Result, collect

TREE = Path(__file__).parents[2]
TESTS = """\
import pytest
def test_good(): pass
def test_bad(): assert 0, "the reason"
@pytest.mark.skip(reason="not here")
def test_skipped(): pass
def test_unwanted(): assert 0
@pytest.fixture
def left():
    yield
    assert 0, "left behind"
def test_leaves(left): pass
"""


def told(tmp_path: Path) -> dict[str, Result]:
    """Return the results that a session inside writes for a session outside."""
    (tmp_path / "test_it.py").write_text(TESTS)
    names = [f"test_it.py::test_{name}" for name in ("good", "bad", "skipped", "leaves")]
    (tmp_path / WANTED).write_text("\n".join(names))
    plugin = ["-p", "integration.vm.reporting", f"{SHARE_FLAG}={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin, "test_it.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TREE), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout
    found: dict[str, Result] = {}
    for line in (tmp_path / RESULTS).read_text().splitlines():
        phase = json.loads(line)
        found.setdefault(phase["test"].partition("_it.py::test_")[2], Result()).phases.append(phase)
    return found


def test_every_wanted_test_is_told_with_its_reason(tmp_path):
    results = told(tmp_path)
    assert set(results) == {"good", "bad", "skipped", "leaves"}
    assert all(result.complete for result in results.values())
    assert not results["good"].failures
    assert results["good"].skipped is None
    assert "the reason" in results["bad"].failures
    assert results["skipped"].skipped == "not here"
    assert "left behind" in results["leaves"].failures


def test_a_test_that_was_interrupted_is_not_complete():
    call = {"when": "call", "outcome": "passed", "text": ""}
    assert not Result(phases=[call]).complete


def test_tests_are_collected_by_name():
    here = str(Path(__file__).relative_to(TREE))
    assert f"{here}::test_tests_are_collected_by_name" in collect([here])
    with pytest.raises(ValueError, match="no/such/file"):
        collect(["no/such/file.py"])


@pytest.mark.parametrize(
    ("relation", "name"),
    [("libc6 (>= 2.36)", "libc6"), ("python3:any", "python3"), (" a ", "a"), ("", "")],
)
def test_the_name_in_a_relation(relation, name):
    assert image._bare(relation) == name


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="this is no Debian: no dpkg")
def test_the_disk_has_what_the_packages_depend_on():
    found = image._closure({"bash"})
    assert {"bash", "libc6", "libtinfo6"} <= found


def test_a_kernel_that_is_kept_is_not_fetched_again(tmp_path):
    place = tmp_path / "6.1/lib/modules/6.1.0-1-amd64"
    place.mkdir(parents=True)
    (place / "vmlinuz-6.1.0-1-amd64").touch()
    assert kernels.find("6.1", tmp_path).image.parent == place
