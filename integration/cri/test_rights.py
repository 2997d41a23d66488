"""What a pod's security context gives: users, capabilities, privileged, filters, limits."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from integration.engines import cri as interface
from integration.engines import nestbox
from integration.engines.waiting import wait_until

DEFAULT = 0xA80425FB
V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()


def _context(**fields):
    return {"linux": {"security_context": fields}}


def _bounding(pod, container):
    return int(pod.exec(container, "grep", "CapBnd", "/proc/self/status")[1].split()[1], 16)


def test_default_capabilities(pod):
    assert _bounding(pod, pod.start()) == DEFAULT


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (["NET_ADMIN"], [], DEFAULT | 1 << 12),
        ([], ["MKNOD"], DEFAULT & ~(1 << 27)),
        (["KILL"], ["ALL"], 1 << 5),
    ],
)
def test_capabilities(pod, add, drop, expected):
    capabilities = {"add_capabilities": add, "drop_capabilities": drop}
    assert _bounding(pod, pod.start(**_context(capabilities=capabilities))) == expected


def test_user_and_groups(pod):
    context = _context(
        run_as_user={"value": 1000}, run_as_group={"value": 50}, supplemental_groups=[7, 8]
    )
    status, out, _ = pod.exec(pod.start(**context), "id")
    assert (status, out) == (0, "uid=1000(worker) gid=50(staff) groups=7,8,50(staff)\n")


def test_no_new_privileges_and_the_default_filter(pod):
    filters = {"profile_type": interface.RUNTIME_DEFAULT}
    container = pod.start(**_context(no_new_privs=True, seccomp=filters))
    lines = pod.exec(container, "grep", "-E", "NoNewPrivs|Seccomp:", "/proc/self/status")[1]
    assert lines.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]


def test_a_read_only_root_with_masked_paths(pod):
    context = _context(
        readonly_rootfs=True, masked_paths=["/proc/keys"], readonly_paths=["/proc/sys"]
    )
    script = "touch /new || cat /proc/keys; echo 9 >/proc/sys/kernel/msgmax"
    status, out, err = pod.exec(pod.start(**context), "sh", "-c", script)
    assert (status, out) == (1, "")
    assert err.count("Read-only file system") == 2


def test_limits_are_given_changed_and_measured(pod):
    resources = {
        "memory_limit_in_bytes": 64 << 20,
        "cpu_period": 100000,
        "cpu_quota": 50000,
        "cpu_shares": 512,
    }
    container = pod.start(linux={"resources": resources})
    file = "memory.max" if V2 else "memory/memory.limit_in_bytes"
    read = ("cat", f"/sys/fs/cgroup/{file}")
    assert pod.exec(container, *read)[1] == f"{64 << 20}\n"
    more = resources | {"memory_limit_in_bytes": 96 << 20}
    pod.cri("UpdateContainerResources", container_id=container, linux=more)
    assert pod.exec(container, *read)[1] == f"{96 << 20}\n"
    stats = pod.cri("ContainerStats", container_id=container).stats
    assert stats.cpu.usage_core_nano_seconds.value > 0
    assert stats.memory.working_set_bytes.value > 0


def test_more_memory_than_allowed_is_told(pod):
    resources = {"memory_limit_in_bytes": 16 << 20}
    container = pod.start("tail", "/dev/zero", linux={"resources": resources})
    wait_until(lambda: pod.status(container).state == interface.EXITED, "it ends")
    assert (pod.status(container).exit_code, pod.status(container).reason) == (137, "OOMKilled")


def test_a_device(pod):
    device = {"container_path": "/dev/x", "host_path": "/dev/loop-control", "permissions": "r"}
    script = "(: </dev/x) && echo opened; (: >/dev/x) || echo refused"
    assert pod.exec(pod.start(devices=[device]), "sh", "-c", script)[1] == "opened\nrefused\n"


class TestHeadline:
    """Where runc fails because CAP_SYS_RESOURCE is missing, a pod starts under nestbox."""

    @pytest.fixture(autouse=True)
    def _only_where_it_is_missing(self, engine_runtime):
        if not engine_runtime.is_nestbox:
            pytest.skip("the engine is set up so that the peer can start anything at all")
        lines = Path("/proc/self/status").read_text().splitlines()
        bounding = next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd"))
        if bounding >> 24 & 1:
            pytest.skip("this machine has CAP_SYS_RESOURCE, so runc starts pods too")

    def test_runc_cannot_start_any_pod(self, pods):
        with pytest.raises(grpc.RpcError) as failure:
            pods("runc")
        # Its first process ends when it may not write oom_score_adj, which it cannot say.
        assert "runc create failed" in failure.value.details()

    def test_nestbox_starts_it_and_says_what_was_clamped(self, pod, containerd):
        log = Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io") / pod.id / "log.json"
        assert "oom_score_adj" in nestbox.warnings(containerd.enclosure.run("cat", log).out)

    def test_privileged(self, pods, containerd):
        pod = pods(linux={"security_context": {"privileged": True}})
        container = pod.start(**_context(privileged=True))
        here = Path("/proc/self/status").read_text()
        assert f"CapBnd:\t{_bounding(pod, container):016x}" in here
        assert pod.exec(container, "mount", "-t", "tmpfs", "x", "/mnt") == (0, "", "")

    def test_what_is_missing_is_explained(self, pod, containerd):
        capabilities = {"add_capabilities": ["SYS_RESOURCE"]}
        container = pod.start(**_context(capabilities=capabilities))
        assert not _bounding(pod, container) >> 24 & 1
        tasks = Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io")
        log = containerd.enclosure.run("cat", tasks / container / "log.json").out
        assert "CAP_SYS_RESOURCE" in nestbox.warnings(log)
        told = nestbox.explain(containerd.enclosure, container, "CAP_SYS_RESOURCE")
        assert "CAP_SYS_RESOURCE" in told

    def test_the_strict_annotation_of_a_pod_refuses_it(self, pods):
        # The sandbox asks for a score that cannot be had here.
        with pytest.raises(grpc.RpcError) as failure:
            pods(annotations={"org.nestbox.strict": "true"})
        assert "oom_score_adj" in failure.value.details()
