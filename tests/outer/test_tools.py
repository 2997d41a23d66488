"""The programs that map ids: what arms and disarms them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import MapTool
from nestbox.outer.tools import observe_map_tool, observe_tools


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "newuidmap"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_program_without_privilege_is_seen_as_such(program: Path) -> None:
    assert observe_map_tool(str(program)) == MapTool(setuid=None, file_permitted=0, nosuid=False)


def test_the_set_user_id_bit_names_the_owner(program: Path) -> None:
    program.chmod(0o4755)
    found = observe_map_tool(str(program))
    assert found is not None
    assert found.setuid == os.getuid()


@pytest.mark.root
def test_file_capabilities_are_read(program: Path) -> None:
    subprocess.run(["setcap", "cap_setuid=ep", program], check=True)
    found = observe_map_tool(str(program))
    assert found is not None
    assert found.setuid is None
    assert found.file_permitted == 1 << BY_NAME["CAP_SETUID"]


def test_a_program_that_vanished_is_no_program(tmp_path: Path) -> None:
    assert observe_map_tool(str(tmp_path / "gone")) is None
    assert observe_map_tool(None) is None


@pytest.mark.root
def test_a_mount_with_nosuid_is_seen(tmp_path: Path) -> None:
    script = (
        f"mount -t tmpfs -o nosuid none {tmp_path} && cp /bin/true {tmp_path}/newuidmap && "
        f"chmod 4755 {tmp_path}/newuidmap && exec "
    )
    code = (
        "from nestbox.outer.tools import observe_map_tool;"
        f"print(observe_map_tool('{tmp_path}/newuidmap').nosuid)"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{script} "$@"', "sh", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"


def test_programs_are_looked_for_on_the_given_path_alone(program: Path) -> None:
    found = observe_tools(str(program.parent))
    assert found.newuidmap == str(program)
    assert found.newgidmap is None
    assert found.newgidmap_rights is None
