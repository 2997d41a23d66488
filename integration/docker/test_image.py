"""The Dockerfile: built on a Debian that is made here, and what its two commands do inside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.engines import debian
from integration.engines.dockerd import Docker
from integration.engines.enclosure import Enclosure

TREE = Path(__file__).parents[2]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
NAME = "nestbox:test"
BASE = "nestbox-base:1"

pytestmark = pytest.mark.slow


def _with_certificates(directory: Path) -> Path:
    """Return a build on the Debian in which pip reaches its index as it is reached from here."""
    directory.mkdir()
    (directory / "certificates.crt").write_bytes(CERTIFICATES.read_bytes())
    (directory / "Dockerfile").write_text(
        "FROM debian:made-here\n"
        "COPY certificates.crt /etc/certificates.crt\n"
        "ENV PIP_CERT=/etc/certificates.crt\n"
    )
    return directory


@pytest.fixture(scope="module")
def docker(engine_runtime) -> Iterator[Docker]:
    """Return a dockerd with this machine's network, through which the mirrors are reached."""
    try:
        base = debian.base()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no Debian can be made here: {error.stderr.decode()[-300:]}")
    enclosure = Enclosure(network=False)
    daemon = Docker(enclosure, engine_runtime, name="building")
    daemon("import", base, "debian:made-here")
    daemon("build", f"--tag={BASE}", _with_certificates(enclosure.place / "base"))
    yield daemon
    daemon.close()
    enclosure.close()


@pytest.fixture(scope="module")
def image(docker) -> str:
    """Return the built image."""
    words = ("build", "--network=host", f"--build-arg=BASE={BASE}", f"--tag={NAME}")
    docker(*words, TREE, seconds=500)
    return NAME


def _size(docker, image: str) -> int:
    return json.loads(docker("image", "inspect", image).out)[0]["Size"]


def test_it_is_small(docker, image):
    assert _size(docker, image) - _size(docker, BASE) < 80 << 20


def test_both_commands_are_there(docker, image):
    assert docker.run(image, "--version").out.startswith("nestbox")
    done = docker.run("--entrypoint=nestbox-runtime", image, "--version")
    assert done.out.startswith("nestbox-runtime version ")


def test_doctor_recognizes_docker_and_names_what_to_change(docker, image):
    done = docker.run(image, "doctor", check=False)
    assert done.status == 1
    assert "in docker" in done.out
    assert "cap-add SYS_ADMIN" in done.out


def test_run_inside_a_container(docker, image):
    flags = ("--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined")
    done = docker.run(*flags, image, "run", "--rootfs", "host", "--", "id")
    assert "uid=0(root)" in done.out


def test_run_inside_a_privileged_container(docker, image, engine_runtime):
    if not engine_runtime.is_nestbox:
        pytest.skip(f"{engine_runtime.name} fails without CAP_SYS_RESOURCE (test_headline.py)")
    words = ("run", "--privileged", "--rootfs", "host", "--", "grep", "CapEff", "/proc/self/status")
    outer = docker.run("--privileged", "--entrypoint=grep", image, *words[-2:]).out
    assert docker.run("--privileged", image, *words).out == outer


def test_the_runtime_inside_tells_its_features(docker, image):
    done = docker.run("--entrypoint=nestbox-runtime", image, "features")
    assert json.loads(done.out)["ociVersionMax"].startswith("1.")
