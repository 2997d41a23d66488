"""Where every `podman run` fails because CAP_SYS_RESOURCE is missing, nestbox starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.engines import nestbox, runtimes
from integration.engines.images import NAME
from integration.engines.podman import Podman


@pytest.fixture(scope="module")
def podman(enclosure, layer) -> Iterator[Podman]:
    """Return a podman as it is configured anywhere, with the limits that it always sets."""
    lines = Path("/proc/self/status").read_text().splitlines()
    bounding = next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd"))
    if bounding >> 24 & 1:
        pytest.skip("this machine has CAP_SYS_RESOURCE, so every runtime starts")
    engine = Podman(enclosure, runtimes.find("nestbox"), name="headline", limits_of_podman=True)
    engine.import_images(layer)
    yield engine
    engine.close()


def _log(podman: Podman, name: str) -> str:
    """Return the OCI log of a container, whose place podman tells."""
    return (Path(podman.inspect(name)["OCIConfigPath"]).parent / "oci-log").read_text()


@pytest.mark.parametrize("flags", [[], ["--privileged"], ["--cap-add=sys_resource"]])
def test_the_peer_fails_and_nestbox_starts(podman, flags):
    for peer in ("runc", "crun"):
        words = (f"--runtime={peer}", "run", "--rm", "--network=none", *flags, NAME, "true")
        done = podman(*words, check=False)
        assert done.status == 126, done
        assert "rlimit" in done.err.lower()
        assert "peration not permitted" in done.err
    done = podman.run(*flags, NAME, "sh", "-c", "echo started; ulimit -Hn")
    assert done.words[0] == "started"


def test_what_was_clamped_is_told(podman):
    name = podman.start(NAME, "sleep", "1000")
    told = nestbox.explain(podman.enclosure, name)
    assert "RLIMIT_NOFILE" in told
    podman("rm", "--force", "--time=0", name)


def test_the_strict_annotation_refuses(podman):
    flag = "--annotation=org.nestbox.strict=true"
    done = podman.run(flag, NAME, "true", check=False)
    assert done.status == 126, done
    assert "RLIMIT_NOFILE" in done.err
    assert json.loads(podman("ps", "--all", "--format=json").out) == []
