"""Bundles for the tests: a root with busybox and a configuration that a test changes as it likes.

The configuration is what engines write for a plain container, cut down to what matters; a member of
it is reached as in the document itself: ``bundle.config["process"]["cwd"] = "/tmp"``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CAPABILITIES = [
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
    "CAP_SETUID", "CAP_SYS_CHROOT",
]  # fmt: skip


def configuration() -> dict[str, Any]:
    """Return a configuration that runs `sleep 1000`."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["sleep", "1000"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")
            },
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
            {
                "destination": "/sys",
                "type": "sysfs",
                "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"],
            },
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


@dataclass
class Bundle:
    """A directory with a root in it, and the configuration that is written there before use."""

    directory: Path
    config: dict[str, Any] = field(default_factory=configuration)

    @property
    def rootfs(self) -> Path:
        """Return the root directory of the container."""
        return self.directory / "rootfs"

    @property
    def process(self) -> dict[str, Any]:
        """Return the process of the configuration, to be changed."""
        return self.config["process"]

    @property
    def linux(self) -> dict[str, Any]:
        """Return the Linux part of the configuration, to be changed."""
        return self.config["linux"]

    def args(self, *words: str) -> Bundle:
        """Let the container run this; return the bundle."""
        self.process["args"] = list(words)
        return self

    def shell(self, script: str) -> Bundle:
        """Let the container run a script; return the bundle."""
        return self.args("sh", "-c", script)

    def namespaces(self, *, without: tuple[str, ...] = (), **paths: str) -> Bundle:
        """Leave namespaces out, or join those at these paths; return the bundle."""
        self.linux["namespaces"] = [
            {**entry, **({"path": paths[entry["type"]]} if entry["type"] in paths else {})}
            for entry in self.linux["namespaces"]
            if entry["type"] not in without
        ]
        return self

    def write(self) -> Path:
        """Write the configuration, and return the directory."""
        (self.directory / "config.json").write_text(json.dumps(self.config))
        return self.directory
