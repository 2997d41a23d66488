"""What was predicted for the sets after exec is what the kernel shows, for random launches."""

from __future__ import annotations

import random
import subprocess

import pytest

from nestbox.kernel.capabilities import BY_NAME

pytestmark = pytest.mark.usefixtures("nothing_left")

SEED = 20261123
LAUNCHES = 40
SETS = ("inheritable", "permitted", "effective", "bounding", "ambient")
FILE_CAPABILITIES = ("", "cap_chown=ep", "cap_net_raw,cap_kill=p", "cap_fowner=ei")


def sample(number: int) -> tuple[list[str], str]:
    """Return the flags of one random launch, and the file capabilities of its program."""
    chance = random.Random(SEED + number)
    names = sorted(name.removeprefix("CAP_") for name in BY_NAME)
    flags = ["--profile", chance.choice(["privileged", "default", "minimal"])]
    chosen = chance.sample(names, 8)
    # Lenient, so that the launch is one on any machine.
    flags += [word for name in chosen[:4] for word in ("--cap-add", f"{name}?")]
    flags += [word for name in chosen[4:] for word in ("--cap-drop", name)]
    flags += ["--user", chance.choice(["0", "0:1000", "1000", "1000:50"])]
    flags += chance.choice([[], ["--ambient"]])
    flags += chance.choice([[], [], ["--security-opt", "no-new-privileges"]])
    flags += chance.choice([[], [], ["--userns", "auto"]])
    flags += chance.choice([[], [], ["--init"]])
    return flags, chance.choice(FILE_CAPABILITIES)


@pytest.fixture(scope="module")
def programs(image):
    """Return a program of the image for each kind of file capabilities."""
    made = {}
    for number, text in enumerate(FILE_CAPABILITIES):
        program = image / f"bin/with{number}"
        program.write_bytes((image / "bin/probe").read_bytes())
        program.chmod(0o755)
        if text:
            subprocess.run(["setcap", text, program], check=True)
        made[text] = program.name
    return made


@pytest.mark.parametrize("number", range(LAUNCHES))
def test_the_sets_after_exec_are_the_predicted_ones(nestbox, image, programs, number):
    flags, capabilities = sample(number)
    program = programs[capabilities]
    words = (*flags, "--network", "none", "--rootfs", str(image), "--", program, "capabilities")
    done = nestbox.run("--provenance", str(nestbox.directory.parent / "record"), *words)
    if done.exit_code != 0:
        # The kernel refuses a program whose capabilities exceed the bounding set: told beforehand.
        assert "file capabilities" in done.stderr, (flags, done)
        assert capabilities
        return
    import json

    record = json.loads((nestbox.directory.parent / "record").read_text())
    assert done.sets() == {name: record["after_exec"][name] for name in SETS}, flags
