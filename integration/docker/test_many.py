"""Many containers at once: each starts, none is mixed up with another, nothing stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from integration.engines.dockerd import IMAGE

COUNT = 50


def test_fifty_at_once(docker):
    def start(number: int) -> str:
        return docker.start(f"--name=many-{number}", IMAGE, "sh", "-c", f"echo {number}; sleep 999")

    def end(number: int) -> str:
        assert docker("exec", f"many-{number}", "echo", str(number)).out == f"{number}\n"
        docker("kill", f"many-{number}")
        return docker("logs", f"many-{number}").out

    with ThreadPoolExecutor(COUNT) as pool:
        names = list(pool.map(start, range(COUNT)))
        assert len(set(docker("ps", "--quiet", "--no-trunc").words)) == len(set(names)) == COUNT
        assert list(pool.map(end, range(COUNT))) == [f"{number}\n" for number in range(COUNT)]
    docker("rm", "--force", *names)
    left = docker.enclosure.run("find", "/run/docker", "-path", "*runtime-*/moby/*").out
    assert left == ""


def test_twenty_programs_at_once_in_one_container(docker):
    name = docker.start(IMAGE, "sleep", "1000")

    def call(number: int) -> str:
        return docker("exec", name, "sh", "-c", f"echo {number}; exit 0").out

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(call, range(20))) == [f"{number}\n" for number in range(20)]
