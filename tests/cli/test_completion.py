"""Shell completion: what a shell evaluates, and the words it is offered."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program


def offered(nestbox: Program, *words: str) -> list[str]:
    """Return what bash would be offered for the last word."""
    line = " ".join(("nestbox", *words))
    nestbox.environment |= {
        "_NESTBOX_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    done = nestbox()
    assert done.returncode in {0, 1}
    assert done.stderr == ""
    return [item.partition(",")[2] for item in done.stdout.splitlines()]


def test_commands_and_options_are_offered(nestbox: Program) -> None:
    assert offered(nestbox, "pro") == ["profile"]
    assert offered(nestbox, "run", "--cap-a") == ["--cap-add"]
    assert offered(nestbox, "profile", "sh") == ["show"]


def test_profiles_are_offered(nestbox: Program) -> None:
    assert offered(nestbox, "run", "--profile", "") == ["default", "minimal", "privileged"]
    assert offered(nestbox, "profile", "show", "min") == ["minimal"]


def test_networks_are_offered(nestbox: Program) -> None:
    assert offered(nestbox, "run", "--network", "s") == ["slirp4netns"]
    assert {"host", "none", "private"} <= {*offered(nestbox, "run", "--network", "")}


def test_capabilities_are_offered_also_behind_a_comma(nestbox: Program) -> None:
    assert offered(nestbox, "run", "--cap-add", "sys_b") == ["SYS_BOOT"]
    assert offered(nestbox, "run", "--cap-drop", "CAP_SYS_B") == ["CAP_SYS_BOOT"]
    assert offered(nestbox, "run", "--cap-add", "KILL,CHO") == ["KILL,CHOWN"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_a_shell_evaluates_calls_the_command(nestbox: Program, shell: str) -> None:
    done = nestbox("completion", shell)
    assert done.returncode == 0
    assert f"_NESTBOX_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_read_it(nestbox: Program, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = nestbox("completion", shell).stdout
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
