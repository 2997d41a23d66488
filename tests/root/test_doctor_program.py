"""doctor -- COMMAND, with programs whose files give rights: what it says is what happens."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

NESTBOX = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "nestbox"
_SECONDS = 60


@pytest.fixture
def program(tmp_path: Path) -> Path:
    copy = tmp_path / "program"
    shutil.copy("/bin/true", copy)
    return copy


def told(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NESTBOX, "doctor", "--", *command],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def runs(profile: str, program: Path) -> bool:
    done = subprocess.run(
        [NESTBOX, "run", "--profile", profile, "-v", f"{program.parent}:/x", "--", "/x/program"],
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    return done.returncode == 0


def test_a_plain_program_runs_everywhere(program: Path) -> None:
    done = told(program)
    assert done.returncode == 0, done.stderr
    assert "gives no rights of its own" in done.stdout
    assert runs("minimal", program)


def test_file_capabilities_beyond_the_bounding_set_fail_as_told(program: Path) -> None:
    subprocess.run(["setcap", "cap_sys_admin=ep", program], check=True, timeout=_SECONDS)
    done = told(program)
    assert done.returncode == 1
    assert "its exec fails with EPERM" in done.stdout
    assert "--cap-add SYS_ADMIN" in done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("missing") and "profile default" in line for line in lines)
    assert any(line.startswith("ok") and "profile privileged" in line for line in lines)
    assert not runs("default", program)
    assert runs("privileged", program)


def test_a_program_that_is_not_there() -> None:
    done = told("no-such-program")
    assert done.returncode == 1
    assert "no-such-program - is not there" in done.stdout


def test_setuid_is_told(program: Path) -> None:
    program.chmod(0o4755)
    assert "set-user-ID 0" in told(program).stdout
