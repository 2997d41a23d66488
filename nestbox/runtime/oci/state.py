"""What is kept of one container of an engine: a small JSON, read without msgspec."""

from __future__ import annotations

from nestbox import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class State:
    """What is kept of one container; every member is of a type of JSON.

    ``cgroup`` is a CgroupLocation (policy.config.cgroup_location) as a dict.
    """

    __slots__ = (
        "annotations",
        "boot_id",
        "bundle",
        "cgroup",
        "created",
        "has_poststop",
        "has_process",
        "hooked",
        "id",
        "namespaces",
        "oci_version",
        "owner",
        "owner_uid",
        "pid_namespace",
        "resctrl",
        "root_mount",
        "rootfs",
        "terminal",
    )

    id: str
    oci_version: str
    bundle: str  # absolute
    rootfs: str  # absolute
    created: str  # RFC 3339 with nanoseconds, UTC
    has_poststop: bool
    has_process: bool
    hooked: bool  # the configuration has hooks at or after the start
    owner: str  # the name of the user who created it
    owner_uid: int
    annotations: dict[str, str]
    boot_id: str
    pid_namespace: int  # inode of the runtime's; in another one its pids mean other processes
    terminal: bool
    cgroup: dict[str, Any]
    namespaces: list[str]  # those that are new, by their names of runtime-spec
    root_mount: int  # the mount that the root was of before it was bound onto itself; 0: it is not
    resctrl: str  # directory of the resource control group that is the container's own, or empty

    def __init__(self, **members: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, members[name])

    def to_json(self) -> bytes:
        """Return the state as a JSON document."""
        return json_text.encode({name: getattr(self, name) for name in self.__slots__}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> State:
        """Return the state of a JSON document. Raises ValueError."""
        members = json_text.decode(data.decode())
        missing = [name for name in cls.__slots__ if name not in members]
        if missing:
            raise ValueError(f"it has no {', '.join(missing)}")
        return cls(**members)
