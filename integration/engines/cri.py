"""A kubelet's side of the Container Runtime Interface, over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import grpc

from integration.engines.cri_messages import PACKAGE, message_types
from integration.engines.enclosure import SECONDS

IMAGE = "localhost/busybox:1"
# Values of the interface's enumerations.
POD, CONTAINER, NODE, TARGET = range(4)
CREATED, RUNNING, EXITED, UNKNOWN = range(4)
READY = 0
RUNTIME_DEFAULT, UNCONFINED = 0, 1


class Cri:
    """The interface of one engine; a call takes and returns messages as they are on the wire."""

    def __init__(self, socket: Path) -> None:
        self._types = message_types()
        self._channel = grpc.insecure_channel(f"unix://{socket}")

    def __call__(self, method: str, **fields: Any) -> Any:
        """Return the answer of a call.

        Raises:
            grpc.RpcError: the engine refuses or fails.
        """
        answer = self._types[f"{method}Response"]
        call = self._channel.unary_unary(
            f"/{PACKAGE}.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call(self._types[f"{method}Request"](**fields), timeout=SECONDS)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()


class Pod:
    """One sandbox with a directory for its logs, and the containers in it."""

    _numbers = count(1)

    def __init__(self, cri: Cri, handler: str, logs: Path, **config: Any) -> None:
        """Run a sandbox; ``config`` is merged over a plain one."""
        number = next(self._numbers)
        self.cri = cri
        self.logs = logs
        self.config: dict[str, Any] = {
            "metadata": {"name": f"pod-{number}", "uid": f"uid-{number}", "namespace": "tests"},
            "log_directory": str(logs),
            "linux": {},
            **config,
        }
        answer = cri("RunPodSandbox", config=self.config, runtime_handler=handler)
        self.id: str = answer.pod_sandbox_id
        self._removed = False

    def create(self, *command: str, linux: dict[str, Any] | None = None, **config: Any) -> str:
        """Return a container that is not started."""
        number = next(self._numbers)
        whole = {
            "metadata": {"name": f"container-{number}"},
            "image": {"image": IMAGE},
            "command": command,
            "log_path": f"{number}.log",
            "linux": linux or {},
            **config,
        }
        fields = {"pod_sandbox_id": self.id, "sandbox_config": self.config, "config": whole}
        container: str = self.cri("CreateContainer", **fields).container_id
        return container

    def start(self, *command: str, **config: Any) -> str:
        """Return a container that runs."""
        container = self.create(*(command or ("sleep", "1000")), **config)
        self.cri("StartContainer", container_id=container)
        return container

    def exec(self, container: str, *command: str) -> tuple[int, str, str]:
        """Return the status, output and error of another program in a container."""
        done = self.cri("ExecSync", container_id=container, cmd=command, timeout=30)
        return done.exit_code, done.stdout.decode(), done.stderr.decode()

    def status(self, container: str) -> Any:
        """Return what the engine knows of a container."""
        return self.cri("ContainerStatus", container_id=container).status

    def output(self) -> str:
        """Return what the containers of the pod wrote, without the times of the log's format."""
        logs = sorted(self.logs.glob("*.log"))
        # Source: the interface's log format, "TIME STREAM TAG TEXT".
        return "\n".join(
            line.split(" ", 3)[3] for log in logs for line in log.read_text().splitlines()
        )

    def close(self) -> None:
        """Stop the sandbox and remove it with its containers, unless that was done."""
        if self._removed:
            return
        self._removed = True
        self.cri("StopPodSandbox", pod_sandbox_id=self.id)
        self.cri("RemovePodSandbox", pod_sandbox_id=self.id)


@contextmanager
def connected(socket: Path) -> Iterator[Cri]:
    """Return a connection to an engine for a while."""
    cri = Cri(socket)
    try:
        yield cri
    finally:
        cri.close()
