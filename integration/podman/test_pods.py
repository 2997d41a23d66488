"""Pods of podman: containers that share namespaces, written as and made from Kubernetes' YAML."""

from __future__ import annotations

import pytest

from integration.engines.images import NAME
from integration.engines.waiting import wait_until

YAML = f"""
apiVersion: v1
kind: Pod
metadata:
  name: played
  annotations:
    example.org/note: kept
spec:
  restartPolicy: Never
  containers:
  - name: server
    image: {NAME}
    command: [sh, -c, "mkdir /www; echo served >/www/index.html; exec httpd -f -p 8080 -h /www"]
    securityContext:
      capabilities:
        add: [NET_ADMIN]
        drop: [MKNOD]
  - name: client
    image: {NAME}
    command: [sleep, "1000"]
    workingDir: /etc
    env:
    - name: COLOUR
      value: blue
    securityContext:
      runAsUser: 1000
      readOnlyRootFilesystem: true
    resources:
      limits:
        memory: 64Mi
"""


@pytest.fixture
def _played(podman):
    if not podman.runtime.is_nestbox:
        pytest.skip("podman 4.3 sets its own limits in `play kube`, which a peer fails to raise")


@pytest.fixture
def pod(podman):
    """Return a pod."""
    podman("pod", "create", "--name=together")
    return "together"


def test_containers_share_what_pods_share(podman, pod):
    first, second = (
        podman("run", "--detach", f"--pod={pod}", NAME, "sleep", "1000").out.strip()
        for _ in range(2)
    )
    names = ("net", "ipc", "uts", "pid", "mnt")
    read = {
        name: {
            podman("exec", it, "readlink", f"/proc/self/ns/{name}").out for it in (first, second)
        }
        for name in names
    }
    assert [name for name in names if len(read[name]) == 1] == ["net", "ipc", "uts"]


def test_paused_stopped_started_and_measured_together(podman, pod):
    name = podman("run", "--detach", f"--pod={pod}", NAME, "sleep", "1000").out.strip()
    podman("pod", "pause", pod)
    assert podman.state(name)["Status"] == "paused"
    podman("pod", "unpause", pod)
    assert name[:12] in podman("pod", "stats", "--no-stream", pod).out
    podman("pod", "stop", "--time=0", pod)
    assert podman.state(name)["Status"] == "exited"
    podman("pod", "start", pod)
    assert podman.state(name)["Status"] == "running"
    podman("pod", "kill", pod)
    wait_until(lambda: podman.state(name)["Status"] == "exited", "it is killed")


@pytest.mark.usefixtures("_played")
def test_played_from_yaml(podman, tmp_path):
    file = tmp_path / "pod.yaml"
    file.write_text(YAML)
    podman("play", "kube", file)
    client = "played-client"
    script = "echo $COLOUR; pwd; id -u; touch /new 2>/dev/null || echo refused"
    done = podman("exec", client, "sh", "-c", script)
    assert done.words == ["blue", "/etc", "1000", "refused"]
    script = "until wget -q -O- http://localhost:8080/ 2>/dev/null; do sleep 0.02; done"
    assert podman("exec", client, "sh", "-c", script).out == "served\n"
    bounding = podman("exec", "played-server", "grep", "CapBnd", "/proc/1/status").words[1]
    assert int(bounding, 16) >> 12 & 1
    podman("play", "kube", "--down", file)
    assert podman("ps", "--all", "--quiet").out == ""


@pytest.mark.usefixtures("_played")
def test_generated_and_played_again(podman, pod, tmp_path):
    flags = ("--name=written", f"--pod={pod}", "-e", "COLOUR=blue", "--cap-add=net_admin")
    podman("run", "--detach", *flags, NAME, "sleep", "1000")
    file = tmp_path / "generated.yaml"
    podman("generate", "kube", "--filename", file, pod)
    podman("pod", "rm", "--force", "--time=0", pod)
    podman("play", "kube", file)
    assert podman("exec", f"{pod}-written", "sh", "-c", "echo $COLOUR").out == "blue\n"
    podman("play", "kube", "--down", file)
