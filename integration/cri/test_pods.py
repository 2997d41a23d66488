"""Pods and containers as a kubelet makes them: started, asked, stopped, removed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from integration.engines import cri as interface
from integration.engines.waiting import wait_until

TRAP = "trap 'echo told; exit 4' TERM; echo ready; while :; do sleep 0.02; done"


def test_a_sandbox_is_ready_and_has_the_handler(pod, engine_runtime):
    status = pod.cri("PodSandboxStatus", pod_sandbox_id=pod.id).status
    assert status.state == interface.READY
    assert status.runtime_handler == engine_runtime.name
    assert status.network.ip.startswith("10.98.0.")


def test_states_of_a_container(pod):
    container = pod.create("sh", "-c", "exit 7")
    assert pod.status(container).state == interface.CREATED
    pod.cri("StartContainer", container_id=container)
    wait_until(lambda: pod.status(container).state == interface.EXITED, "it ends")
    assert (pod.status(container).exit_code, pod.status(container).reason) == (7, "Error")


def test_output_is_logged(pod):
    container = pod.start("sh", "-c", "echo one; echo two >&2")
    wait_until(lambda: pod.status(container).state == interface.EXITED, "it ends")
    wait_until(lambda: len(pod.output().splitlines()) == 2, "both lines")
    assert set(pod.output().splitlines()) == {"one", "two"}


def test_exec(pod):
    container = pod.start(envs=[{"key": "COLOUR", "value": "blue"}], working_dir="/etc")
    done = pod.exec(container, "sh", "-c", "echo $COLOUR; pwd; echo err >&2; exit 3")
    assert done == (3, "blue\n/etc\n", "err\n")


def test_exec_that_takes_too_long_is_ended(pod):
    container = pod.start()
    with pytest.raises(grpc.RpcError) as failure:
        pod.cri("ExecSync", container_id=container, cmd=["sleep", "1717"], timeout=1)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "sleep 1717" not in pod.exec(container, "ps")[1]


def test_a_program_that_is_not_there(pod):
    container = pod.create("nothing-here")
    with pytest.raises(grpc.RpcError) as failure:
        pod.cri("StartContainer", container_id=container)
    assert "executable file not found" in failure.value.details()
    assert pod.status(container).exit_code == 128
    assert pod.status(container).reason == "StartError"


def test_stop_asks_first(pod):
    container = pod.start("sh", "-c", TRAP)
    wait_until(lambda: "ready" in pod.output(), "the program is ready")
    pod.cri("StopContainer", container_id=container, timeout=30)
    assert pod.status(container).exit_code == 4
    assert "told" in pod.output()


def test_stop_kills_what_does_not_listen(pod):
    container = pod.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.02; done")
    wait_until(lambda: "ready" in pod.output(), "the program is ready")
    pod.cri("StopContainer", container_id=container, timeout=1)
    assert pod.status(container).exit_code == 137


@pytest.mark.parametrize(
    ("mode", "shared"),
    [(interface.POD, "net ipc uts pid"), (interface.CONTAINER, "net ipc uts")],
)
def test_containers_of_a_pod_share_what_pods_share(pods, mode, shared):
    context = {"security_context": {"namespace_options": {"pid": mode}}}
    pod = pods(linux=context)
    first, second = pod.start(linux=context), pod.start(linux=context)
    names = ("net", "ipc", "uts", "pid", "mnt")
    read = {
        name: {pod.exec(it, "readlink", f"/proc/self/ns/{name}")[1] for it in (first, second)}
        for name in names
    }
    assert [name for name in names if len(read[name]) == 1] == shared.split()


def test_the_nodes_namespaces(pods, containerd):
    options = {"namespace_options": {"network": interface.NODE, "pid": interface.NODE}}
    pod = pods(linux={"security_context": options})
    container = pod.start(linux={"security_context": options})
    for name in ("net", "pid"):
        outside = containerd.enclosure.run("readlink", f"/proc/self/ns/{name}").out
        assert pod.exec(container, "readlink", f"/proc/self/ns/{name}")[1] == outside


def test_two_pods_reach_each_other(pods):
    server = pods()
    server.start("sh", "-c", "mkdir /w; echo served >/w/index.html; exec httpd -f -p 80 -h /w")
    address = server.cri("PodSandboxStatus", pod_sandbox_id=server.id).status.network.ip
    client = pods()
    container = client.start()
    script = f"until wget -q -O- http://{address}/ 2>/dev/null; do sleep 0.02; done"
    assert client.exec(container, "sh", "-c", script)[1] == "served\n"


def test_sysctls_of_a_pod(pods):
    pod = pods(linux={"sysctls": {"net.ipv4.ip_unprivileged_port_start": "80"}})
    container = pod.start()
    read = pod.exec(container, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start")
    assert read == (0, "80\n", "")


def test_mounts(pod, tmp_path):
    (tmp_path / "given").write_text("given\n")
    mounts = [
        {"container_path": "/in", "host_path": str(tmp_path), "readonly": True},
        {"container_path": "/out", "host_path": str(tmp_path)},
    ]
    container = pod.start(mounts=mounts)
    script = "cat /in/given; echo made >/out/made; touch /in/new 2>/dev/null || echo refused"
    assert pod.exec(container, "sh", "-c", script)[1] == "given\nrefused\n"
    assert (tmp_path / "made").read_text() == "made\n"


def test_a_container_again_in_the_same_pod(pod):
    for status in (1, 2, 3):
        container = pod.start("sh", "-c", f"exit {status}")
        wait_until(lambda it=container: pod.status(it).state == interface.EXITED, "it ends")
        assert pod.status(container).exit_code == status
        pod.cri("RemoveContainer", container_id=container)


def test_nothing_is_left_of_a_removed_pod(pods, containerd):
    pod = pods()
    ids = [pod.id, pod.start()]
    find = ("find", "/run/containerd", "/sys/fs/cgroup")
    names = ("(", "-name", f"*{ids[0]}*", "-o", "-name", f"*{ids[1]}*", ")")
    assert containerd.enclosure.run(*find, *names).out
    pod.close()
    assert containerd.enclosure.run(*find, *names).out == ""


def test_ten_pods_at_once(pods):
    def start(number):
        pod = pods()
        return number, pod, pod.start(envs=[{"key": "NUMBER", "value": str(number)}])

    with ThreadPoolExecutor(10) as pool:
        started = list(pool.map(start, range(10)))
        told = pool.map(lambda it: it[1].exec(it[2], "sh", "-c", "echo $NUMBER")[1], started)
        assert [text.strip() for text in told] == [str(number) for number, _, _ in started]
