"""podman and buildah with storage and a configuration of a test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from integration.engines.enclosure import Done, Enclosure
from integration.engines.images import HOLD, NAME, PAUSE
from integration.engines.runtimes import EngineRuntime, installed
from integration.engines.terminal import Terminal

# What podman sets for every container cannot be raised without CAP_SYS_RESOURCE; a peer needs less.
_LESS = 'default_ulimits = ["nofile=1024:2048", "nproc=4096:8192"]'
# Debian's podman knows by name which runtimes write their log as JSON; another has to be listed.
_CONTAINERS = """
[containers]
{limits}
[engine]
runtime = "{runtime}"
runtime_supports_json = [{names}]
runtime_supports_nocgroup = ["nestbox", "crun"]
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = "{image}"
image_copy_tmp_dir = "{place}"
tmp_dir = "/run/libpod"
[engine.runtimes]
{runtimes}
[network]
network_config_dir = "{place}/networks"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{place}/graph"
runroot = "/run/containers/storage"
"""


class Podman:
    """One store with its configuration; podman has no daemon to start or end."""

    def __init__(
        self,
        enclosure: Enclosure,
        runtime: EngineRuntime,
        *,
        name: str = "podman",
        limits_of_podman: bool | None = None,
    ) -> None:
        """Write the configuration; a peer gets limits that it can set, unless told otherwise."""
        self.enclosure = enclosure
        self.runtime = runtime
        self.place = enclosure.place / name
        self.place.mkdir()
        kept = runtime.is_nestbox if limits_of_podman is None else limits_of_podman
        known = installed()
        (self.place / "containers.conf").write_text(
            _CONTAINERS.format(
                place=self.place,
                runtime=runtime.name,
                image=PAUSE,
                limits="" if kept else _LESS,
                names=", ".join(f'"{it.name}"' for it in known),
                runtimes="\n".join(f'{it.name} = ["{it.path}"]' for it in known),
            )
        )
        (self.place / "storage.conf").write_text(_STORAGE.format(place=self.place))
        # Nothing is to be pulled, and nothing is signed.
        (self.place / "registries.conf").write_text("unqualified-search-registries = []\n")
        self.variables = {
            "CONTAINERS_CONF": str(self.place / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.place / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.place / "registries.conf"),
        }

    def import_images(self, layer: Path) -> None:
        """Make the images of the tests from the tar of a root directory."""
        self("import", layer, NAME)
        self("import", f"--change=CMD {json.dumps(HOLD)}", layer, PAUSE)

    def command(self, engine: str, *words: str | Path, check: bool = True, stdin: str = "") -> Done:
        """Return what a command of podman's or buildah's answered."""
        return self.enclosure.run(engine, *words, check=check, stdin=stdin, **self.variables)

    def __call__(self, *words: str | Path, check: bool = True, stdin: str = "") -> Done:
        """Return what a podman command answered."""
        return self.command("podman", *words, check=check, stdin=stdin)

    def run(self, *words: str | Path, check: bool = True, stdin: str = "") -> Done:
        """Return what a container answered that is removed at its end and has no network."""
        return self("run", "--rm", "--network=none", *words, check=check, stdin=stdin)

    def start(self, *words: str | Path) -> str:
        """Return the name of a container that runs, without a network."""
        return self("run", "--detach", "--network=none", *words).out.strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """Return all that the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(self("container", "inspect", name).out)
        return found[0]

    def state(self, name: str) -> dict[str, Any]:
        """Return the state of a container as the engine sees it."""
        state: dict[str, Any] = self.inspect(name)["State"]
        return state

    def terminal(self, *words: str | Path) -> Terminal:
        """Return a podman command on a terminal."""
        environment = self.enclosure.environment(**self.variables)
        return Terminal(self.enclosure.enter("podman", *map(str, words)), environment)

    def remove_all(self) -> None:
        """Remove every pod and container."""
        self("pod", "rm", "--force", "--all", "--time=0")
        self("rm", "--force", "--all", "--time=0", "--volumes")

    def close(self) -> None:
        """Remove what is left of containers and what the store has mounted."""
        self.remove_all()
        self("rmi", "--force", "--all")
