"""A dockerd of a test's own with every runtime of this machine, and its client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from integration.engines.enclosure import SECONDS, Done, Enclosure
from integration.engines.readiness import Daemon
from integration.engines.runtimes import EngineRuntime, installed
from integration.engines.terminal import Terminal

IMAGE = "busybox:1"
# The runtime under test, told to say more.
DEBUGGING = "debugging"


class Docker:
    """One daemon: started when this is made, ended by `close` with all of its containers."""

    def __init__(
        self,
        enclosure: Enclosure,
        default: EngineRuntime,
        *,
        name: str = "docker",
        around: Sequence[str] = (),
        options: Sequence[str] = (),
        network: bool = False,
    ) -> None:
        self.enclosure = enclosure
        self.runtime = default
        self.exec_root = Path("/run") / name
        self.host = f"unix://{enclosure.place}/{name}.sock"
        words = [
            "dockerd",
            f"--host={self.host}",
            f"--data-root={enclosure.place}/{name}",
            f"--exec-root={self.exec_root}",
            f"--pidfile=/run/{name}.pid",
            f"--config-file={self._configuration(name)}",
            "--shutdown-timeout=1",
            *options,
        ]
        if not network:
            words += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        self.daemon = Daemon(enclosure, name, words, around)

    def _configuration(self, name: str) -> Path:
        """Return the configuration, in which every runtime of this machine has its name."""
        runtimes: dict[str, Any] = {
            it.name: {"path": it.path} for it in installed() if it.name != "runc"
        }
        # docker puts a script of its own between, where a runtime has arguments.
        runtimes[DEBUGGING] = {"path": self.runtime.path, "runtimeArgs": ["--debug"]}
        path = self.enclosure.place / f"{name}.json"
        path.write_text(json.dumps({"runtimes": runtimes, "default-runtime": self.runtime.name}))
        return path

    def client(self, *words: str | Path) -> list[str]:
        """Return the words of a command."""
        return ["docker", "--host", self.host, *map(str, words)]

    def __call__(
        self,
        *words: str | Path,
        check: bool = True,
        stdin: str | bytes = "",
        seconds: float = SECONDS,
    ) -> Done:
        """Return what a docker command answered."""
        # Debian's dockerd has no BuildKit of its own, and a newer client would ask for it.
        return self.enclosure.run(
            *self.client(*words), check=check, stdin=stdin, seconds=seconds, DOCKER_BUILDKIT="0"
        )

    def run(self, *words: str | Path, check: bool = True, stdin: str | bytes = "") -> Done:
        """Return what a container answered that is removed at its end and has no network."""
        return self("run", "--rm", "--network=none", *words, check=check, stdin=stdin)

    def start(self, *words: str | Path) -> str:
        """Return the name of a container that runs, without a network."""
        return self("run", "--detach", "--network=none", *words).out.strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """Return all that the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(self("inspect", name).out)
        return found[0]

    def state(self, name: str) -> dict[str, Any]:
        """Return the state of a container as the engine sees it."""
        state: dict[str, Any] = self.inspect(name)["State"]
        return state

    def log(self, name: str) -> str:
        """Return what the runtime has logged of a container, by its whole id."""
        tasks = self.exec_root / "containerd/daemon/io.containerd.runtime.v2.task/moby"
        return self.enclosure.run("cat", tasks / name / "log.json").out

    def terminal(self, *words: str | Path) -> Terminal:
        """Return a docker command on a terminal."""
        return Terminal(self.enclosure.enter(*self.client(*words)), self.enclosure.environment())

    def remove_all(self) -> None:
        """Remove every container."""
        if names := self("ps", "--all", "--quiet").words:
            self("rm", "--force", "--volumes", *names)

    def close(self) -> None:
        """Remove the containers and end the daemon."""
        try:
            self.remove_all()
        finally:
            self.daemon.close()
