"""The configuration of a container: ``config.json`` as a value.

Every field of runtime-spec 1.3 for Linux; what other platforms have and what is unknown is
ignored. An empty value stands for an absent one, None where absent differs from zero or empty.
``nestbox.oci.read`` makes it from text and ``nestbox.oci.validate`` tells what is wrong with it.

Source: runtime-spec 1.3, config.md.
"""

from typing import Final

import msgspec

from nestbox.oci.hooks import Hooks
from nestbox.oci.linux import Linux
from nestbox.oci.mounts import Mount
from nestbox.oci.process import NO_PROCESS, Process

SPEC_VERSION: Final = "1.3.0"  # what nestbox implements
OLDEST_VERSION: Final = "1.0.0"


class Root(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The root file system: an absolute path, or one relative to the bundle."""

    path: str = ""
    readonly: bool = False


class Config(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"oci_version": "ociVersion"},
):
    """The whole of a ``config.json``."""

    oci_version: str = ""
    process: Process = NO_PROCESS
    root: Root
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = {}
    linux: Linux = Linux()

    @property
    def has_process(self) -> bool:
        """Whether there is a program to start."""
        return self.process is not NO_PROCESS

    def namespace(self, kind: str) -> str | None:
        """Return the path of a namespace to join, "" for a new one, None for the runtime's own."""
        for one in self.linux.namespaces:
            if one.type == kind:
                return one.path
        return None
