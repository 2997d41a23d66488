"""Every example of every help text, run as it is written."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nestbox.doctor.lock import lock_of, save_lock
from nestbox.doctor.outlook import foresee
from nestbox.doctor.shipped import load_profiles
from nestbox.outer.probe import ALL_SUBJECTS, observe
from nestbox.outer.recording import save
from tests.root.oci.bundle import configuration

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program

pytestmark = pytest.mark.root

CONTAINERS = ("web", "database")

# A launch that this environment has to refuse is an answer too, and it is said in these words.
_REFUSALS = ("nestbox: cannot grant ", "nestbox: cannot give ")


def arrange(nestbox: Program) -> None:
    """Make what the examples name: a Makefile, a root, a profile, a recording, a container."""
    here = nestbox.directory
    (here / "Makefile").write_text("all test:\n\t@echo made\n")
    (here / "untrusted").write_text("#!/bin/sh\nid\n")
    (here / "untrusted").chmod(0o755)
    (here / "mine.yaml").write_text("name: mine\nextends: default\n")
    environment = observe(ALL_SUBJECTS, state_directory=nestbox.environment["NESTBOX_STORAGE"])
    for name in ("recording.json", "yesterday.json"):
        (here / name).write_bytes(save(environment))
    (here / "nestbox.lock").write_bytes(save_lock(lock_of(foresee(environment, load_profiles()))))
    _make_root(here / "rootfs")


def make_containers(nestbox: Program, line: str) -> None:
    """Make the containers that an example is about, in the state that it wants."""
    names = [word for word in line.split() if word in CONTAINERS]
    if not names:
        return
    config = configuration()
    config["root"]["readonly"] = True
    # The first process of a pid namespace has to ask for the signals that end it.
    script = "trap 'exit 0' INT TERM; while :; do sleep 1000 & wait; done"
    config["process"]["args"] = ["sh", "-c", script]
    (nestbox.directory / "config.json").write_text(json.dumps(config))
    for name in names:
        if line == f"nestbox rm {name}":
            runtime(nestbox, "create", name)
        else:
            runtime(nestbox, "run", "--detach", name)
    if line.startswith("nestbox resume"):
        runtime(nestbox, "pause", *names)


def runtime(nestbox: Program, *words: str) -> None:
    """Call nestbox-runtime where the bundle of the examples is."""
    command = [sys.executable, "-c", "from nestbox.cli.oci.main import main; main()", *words]
    subprocess.run(
        command, check=True, env=nestbox.environment, cwd=nestbox.directory, timeout=60,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _make_root(root: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    for name in ("bin", "src", "proc", "dev", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for applet in ("sh", "sleep", "id"):
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text("nobody:x:65534:65534::/:/bin/sh\n")


def run(nestbox: Program, line: str) -> tuple[int, str]:
    """Return exit code and output of a command line that a person types at a terminal."""
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            ["bash", "-c", line], stdin=slave, stdout=slave, stderr=slave,
            env=nestbox.environment, cwd=nestbox.directory,
        )  # fmt: skip
        os.close(slave)
        os.write(master, b"exit\n")
        text = b""
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:  # EIO: nobody has the other side open any more
                break
            text += data
        return process.wait(60), text.decode(errors="replace")
    finally:
        os.close(master)


def examples() -> list[str]:
    from tests.cli.test_commands import COMMANDS

    lines = [line for command in COMMANDS.values() for line, _ in command.examples]
    # explain is about containers of the past, which its own tests make.
    return [line for line in dict.fromkeys(lines) if not line.startswith("nestbox explain")]


@pytest.mark.parametrize("line", examples())
def test_an_example_does_what_the_help_says(nestbox: Program, line: str) -> None:
    arrange(nestbox)
    make_containers(nestbox, line)
    try:
        code, text = run(nestbox, line)
    finally:
        for name in CONTAINERS:
            runtime(nestbox, "delete", "--force", name)
    refused = code == 125 and any(words in text for words in _REFUSALS)
    missing = code == 1 and line.startswith("nestbox doctor")  # doctor found something missing
    assert code == 0 or refused or missing, text
    assert "internal error" not in text
    assert nestbox.left_behind() == []
