"""podman, buildah and containerd in `nestbox run --privileged`, with every runtime there is."""

from __future__ import annotations

import pytest

from integration.engines.inside import RUNTIME, run_nested

RUNTIMES = {"runc": "runc", "crun": "crun", "nestbox": RUNTIME}


@pytest.fixture(params=RUNTIMES)
def runtime(request) -> str:
    """Return the path of a runtime."""
    return RUNTIMES[request.param]


def test_podman(place, layer, runtime):
    script = f"""
        podman import --quiet {layer} localhost/busybox:1 >/dev/null
        podman --runtime {runtime} run --rm --network=none --memory=64m \\
            localhost/busybox:1 sh -c 'id -u; hostname'
        podman info --format '{{{{.Store.GraphDriverName}}}}'
    """
    done = run_nested(place, script, "--volume=/var/lib/containers")
    assert (done.words[0], done.words[-1]) == ("0", "overlay")


def test_buildah(place, layer, runtime):
    script = f"""
        podman import --quiet {layer} localhost/busybox:1 >/dev/null
        name=$(buildah from localhost/busybox:1)
        buildah run --runtime {runtime} $name sh -c 'echo built >/etc/built; cat /etc/built'
        buildah commit --quiet $name localhost/built:1 >/dev/null
    """
    assert run_nested(place, script, "--volume=/var/lib/containers").words == ["built"]


@pytest.mark.parametrize("runtime", [key for key in RUNTIMES if key != "crun"], indirect=True)
def test_containerd(place, image, runtime):
    script = f"""
        containerd >/run/log 2>&1 &
        for _ in $(seq 200); do ctr version >/dev/null 2>&1 && break; sleep 0.1; done
        ctr images import {image} >/dev/null
        ctr run --rm --runc-binary {runtime} localhost/busybox:1 one id -u
    """
    assert run_nested(place, script, "--volume=/var/lib/containerd").words == ["0"]


def test_dockerd_without_a_volume_stores_by_other_means(place, layer):
    """Over the root's own overlay no other can be mounted: it finds what works."""
    script = f"""
        dockerd --bridge=none --iptables=false --ip6tables=false >/run/log 2>&1 &
        for _ in $(seq 200); do docker info >/dev/null 2>&1 && break; sleep 0.1; done
        docker info --format '{{{{.Driver}}}}'
        docker import {layer} busybox:1 >/dev/null
        docker run --rm --network=none busybox:1 id -u
    """
    driver, uid = run_nested(place, script).words
    assert driver in {"fuse-overlayfs", "vfs", "overlay2"}
    assert uid == "0"
