"""podman of an ordinary user: an account of its own, subordinate ids, storage in a home."""

from __future__ import annotations

import os
from pathlib import Path

from integration.engines.enclosure import PATH, Done, Enclosure
from integration.engines.images import NAME
from integration.engines.runtimes import EngineRuntime

UID = 21078
FIRST = 4_000_000  # of the subordinate ids
_NAME = "boat"
_ACCOUNTS = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\n{_NAME}:x:{UID}:{UID}::{{home}}:/bin/sh\n",
    "group": f"root:x:0:\n{_NAME}:x:{UID}:\n",
    "subuid": f"{_NAME}:{FIRST}:65536\n",
    "subgid": f"{_NAME}:{FIRST}:65536\n",
}
_CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:2048", "nproc=4096:8192"]
init_path = "/usr/bin/tini-static"
[engine]
runtime = "{runtime.name}"
runtime_supports_json = ["{runtime.name}"]
runtime_supports_nocgroup = ["nestbox", "crun"]
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
{runtime.name} = ["{runtime.path}"]
"""
# Neither a module of the kernel nor a device is needed for it.
_STORAGE = '[storage]\ndriver = "vfs"\n'


class RootlessPodman:
    """One user's podman in an enclosure, which then has the accounts of that user."""

    def __init__(self, enclosure: Enclosure, runtime: EngineRuntime, layer: Path) -> None:
        """Write accounts and configuration, and import the image of the tests."""
        self.enclosure = enclosure
        self.home = enclosure.place / "home"
        self.variables = {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "CONTAINERS_CONF": str(self.home / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.home / "storage.conf"),
        }
        (self.home / "run").mkdir(parents=True, mode=0o700)
        (self.home / "containers.conf").write_text(_CONTAINERS.format(runtime=runtime))
        (self.home / "storage.conf").write_text(_STORAGE)
        for path in (self.home, *self.home.iterdir()):
            os.chown(path, UID, UID)
        for name, text in _ACCOUNTS.items():
            self._bind(name, text.format(home=self.home))
        layer.chmod(0o644)
        self("import", layer, NAME)

    def _bind(self, name: str, text: str) -> None:
        file = self.enclosure.place / name
        file.write_text(text)
        self.enclosure.run("sh", "-c", f"test -e /etc/{name} || touch /etc/{name}")
        self.enclosure.run("mount", "--bind", file, f"/etc/{name}")

    def __call__(self, *words: str | Path, check: bool = True, stdin: str = "") -> Done:
        """Return what a podman command of the user answered."""
        user = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
        variables = (f"{name}={value}" for name, value in self.variables.items())
        clean = ("env", "-i", "-C", self.home, f"PATH={PATH}", *variables)
        return self.enclosure.run(*user, *clean, "podman", *words, check=check, stdin=stdin)

    def run(self, *words: str | Path, check: bool = True, stdin: str = "") -> Done:
        """Return what a container answered that is removed at its end and has no network."""
        return self("run", "--rm", "--network=none", *words, check=check, stdin=stdin)

    def start(self, *words: str | Path) -> str:
        """Return the name of a container that runs, without a network."""
        return self("run", "--detach", "--network=none", *words).out.strip()

    def state(self, name: str) -> str:
        """Return the status of a container as podman sees it, and its exit code."""
        form = "{{.State.Status}} {{.State.ExitCode}}"
        return self("container", "inspect", "--format", form, name).out.strip()

    def remove_all(self) -> None:
        """Remove every container."""
        self("rm", "--force", "--all", "--time=0")

    def close(self) -> None:
        """Remove what is left, and end the process that holds the user's namespaces."""
        self.remove_all()
        self("rmi", "--force", "--all")
        self("system", "migrate")
