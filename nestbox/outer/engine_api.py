"""What the engine around us says it was told about our container, asked over its own socket.

Only ``doctor`` asks. A socket in a container may be anybody's, so the answer is limited in time and
size, and believed no further than as words in a report. Source: the Docker Engine API, which podman
serves too.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nestbox.errors import reason
from nestbox.outer.facts import EngineAnswer

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from nestbox.outer.facts import Mount, OuterEnvironment

SOCKETS: Final = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/var/run/podman/podman.sock",
)
_SECONDS: Final = 1.0  # for all of one answer
_LIMIT: Final = 1 << 20  # bytes
_ID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def own_container(mounts: Sequence[Mount], cgroup_paths: Sequence[str]) -> str | None:
    """Return the id of our container, from the files that engines mount or our cgroup's name."""
    roots = [mount.root for mount in mounts if mount.target.startswith("/etc/")]
    for text in (*roots, *cgroup_paths):
        found = _ID.findall(text)
        if found:
            return str(found[-1])
    return None


def sockets(environment: Mapping[str, str], known: Sequence[str] = SOCKETS) -> tuple[str, ...]:
    """Return the sockets to ask, that of DOCKER_HOST first; each file once, and only sockets."""
    named = environment.get("DOCKER_HOST", "")
    first = (named.removeprefix("unix://"),) if named.startswith("unix://") else ()
    found: dict[tuple[int, int], str] = {}
    for path in (*first, *known):
        try:
            facts = os.stat(path)
        except (OSError, ValueError):
            continue
        if facts.st_mode & 0o170000 == 0o140000:
            found.setdefault((facts.st_dev, facts.st_ino), path)
    return tuple(found.values())


def ask_engine(
    container: str | None, environment: Mapping[str, str], known: Sequence[str] = SOCKETS
) -> tuple[EngineAnswer | None, tuple[str, ...]]:
    """Return what an engine says of our container, and what was met on each socket.

    None without an engine that knows the container; the notes name each socket and its answer.
    """
    notes = []
    for path in sockets(environment, known):
        if container is None:
            notes.append(f"{path}: an engine's socket; our own container's id is not known")
            continue
        try:
            answer = _inspect(path, container)
        except (OSError, ValueError) as error:
            told = reason(error) if isinstance(error, OSError) else str(error)
            notes.append(f"{path}: no answer of use: {told[:200]}")
        else:
            return answer, (*notes, f"{path}: it knows our container")
    return None, tuple(notes)


def _inspect(path: str, container: str) -> EngineAnswer:
    """Return the answer about a container. Raises OSError, ValueError."""
    body = _get(path, f"/v1.24/containers/{container}/json")
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from error
    host = document.get("HostConfig") if isinstance(document, dict) else None
    if not isinstance(host, dict):
        raise ValueError("it is no container's description")
    return EngineAnswer(
        socket=path,
        privileged=host.get("Privileged") is True,
        cap_add=_texts(host.get("CapAdd")),
        cap_drop=_texts(host.get("CapDrop")),
        security_opt=_texts(host.get("SecurityOpt")),
        devices=tuple(
            _text(device.get("PathInContainer"))
            for device in _list(host.get("Devices"))
            if isinstance(device, dict)
        ),
        masked=len(_list(host.get("MaskedPaths"))),
        userns=_text(host.get("UsernsMode")),
        cgroupns=_text(host.get("CgroupnsMode")),
        network=_text(host.get("NetworkMode")),
        pid=_text(host.get("PidMode")),
        read_only=host.get("ReadonlyRootfs") is True,
    )


def _list(value: Any) -> list[Any]:
    return value[:64] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(one) for one in _list(value) if isinstance(one, str))


def _get(path: str, target: str) -> bytes:
    """Return the body of an answer with status 200. Raises OSError, ValueError.

    In HTTP/1.0 an answer ends with the connection, so there is nothing in it to be decoded.
    """
    import socket

    end = time.monotonic() + _SECONDS
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(path)
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: nestbox\r\n\r\n".encode())
        answer = _read(connection, end)
    head, separator, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if not separator or not status[0].startswith(b"HTTP/1.") or len(status) < 2:
        raise ValueError("it does not speak HTTP")
    if status[1] != b"200":
        raise ValueError(f"HTTP status {status[1][:20].decode('ascii', 'replace')}")
    return body


def _read(connection: socket.socket, end: float) -> bytes:
    """Return all that is sent before the end. Raises OSError, ValueError."""
    parts: list[bytes] = []
    size = 0
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer within {_SECONDS:g} s")
        connection.settimeout(left)
        try:
            part = connection.recv(1 << 16)
        except TimeoutError as error:
            raise TimeoutError(f"no whole answer within {_SECONDS:g} s") from error
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > _LIMIT:
            raise ValueError(f"its answer is larger than {_LIMIT >> 10} KiB")


def with_engine_asked(
    environment: OuterEnvironment, variables: Mapping[str, str]
) -> OuterEnvironment:
    """Return the environment with what its engine's socket answered, if there is one."""
    engine = environment.engine
    if engine is None:
        return environment
    paths = [one.path for one in environment.cgroup.hierarchies] if environment.cgroup else []
    container = own_container(environment.mounts or (), paths)
    answer, notes = ask_engine(container, variables)
    if not notes:
        return environment
    asked = msgspec.structs.replace(engine, answer=answer, sockets=notes)
    return msgspec.structs.replace(environment, engine=asked)
