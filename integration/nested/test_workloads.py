"""doctor --for: what it asks for is enough, and nothing of it can be left out."""

from __future__ import annotations

import json
import shlex

import pytest

from integration.engines.enclosure import Done, Enclosure
from integration.engines.inside import NESTBOX

_SECONDS = 60
_LONG = {"-v": "--volume"}
# A root of one program, run with a limit: what each right is for is used.
_DOCKER = """
dockerd >/run/dockerd.log 2>&1 & daemon=$!
for i in $(seq 100); do
    docker info >/dev/null 2>&1 && break
    kill -0 $daemon 2>/dev/null || { tail -n 3 /run/dockerd.log; exit 1; }
    sleep 0.1
done
mkdir -p /run/image/bin
cp "$(command -v busybox)" /run/image/bin/busybox
tar -C /run/image -c . | docker import - image >/dev/null
docker info 2>/dev/null | grep -q 'Storage Driver: overlay2'
docker run --rm --memory 64m image /bin/busybox echo ran
kill $daemon
"""


def run_default(enclosure: Enclosure, flags: tuple[str, ...], *command: str) -> Done:
    """Return what a command answers in a container with the default profile and these flags."""
    given = (NESTBOX, "run", "--network=private", "--tmpfs=/run", "--log-level=error", *flags)
    return enclosure.run(*given, "--", *command, check=False, seconds=_SECONDS, LANG="C")


def asked_flags(enclosure: Enclosure, workload: str) -> tuple[str, ...]:
    """Return the flags of nestbox run that doctor asks for inside of a default container."""
    asked = ("doctor", "--for", workload, "--remedy", "nestbox", "-o", "json")
    done = run_default(enclosure, (), NESTBOX, *asked)
    assert done.status == 1, done
    remedy = json.loads(done.out)["remedy"]
    assert remedy["elsewhere"] == []
    words = shlex.split(remedy["text"].removeprefix("nestbox run "))
    pairs = zip(words[::2], words[1::2], strict=True)
    return tuple(f"{_LONG.get(flag, flag)}={value}" for flag, value in pairs)


@pytest.fixture(scope="module")
def flags(enclosure: Enclosure) -> tuple[str, ...]:
    return asked_flags(enclosure, "dockerd")


def test_what_dockerd_is_said_to_need_is_enough(
    enclosure: Enclosure, flags: tuple[str, ...]
) -> None:
    done = run_default(enclosure, flags, "sh", "-ec", _DOCKER)
    assert done.out == "ran\n", done


def test_nothing_of_what_dockerd_is_said_to_need_can_be_left_out(
    enclosure: Enclosure, flags: tuple[str, ...]
) -> None:
    assert len(flags) >= 4
    for one in flags:
        fewer = tuple(flag for flag in flags if flag != one)
        done = run_default(enclosure, fewer, "sh", "-ec", _DOCKER)
        assert done.out != "ran\n", one
        assert done.status != 0, one


def test_with_that_doctor_has_nothing_more_to_ask_for(
    enclosure: Enclosure, flags: tuple[str, ...]
) -> None:
    done = run_default(enclosure, flags, NESTBOX, "doctor", "--for", "dockerd")
    assert done.status == 0, done
    assert done.out.startswith("dockerd: works here, in mode root\n")
