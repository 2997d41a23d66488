"""What an operation of the library knows of its caller: passed in, not read from the process.

No operation depends on the process's own directory, environment or standard streams, so that it
works from threads and from a server that acts for many callers (DESIGN §11, §12).
"""

from __future__ import annotations

import os

import msgspec

from nestbox.runtime.roots import default_root

STORAGE_ROOT = "/var/lib/nestbox"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The caller: its working directory, environment, standard streams, and where state is kept.

    ``stdin``, ``stdout`` and ``stderr`` are descriptors; ``root`` holds the state of containers and
    their records, ``storage`` what they write.
    """

    directory: str
    environment: dict[str, str]
    stdin: int
    stdout: int
    stderr: int
    root: str
    storage: str


def context_of_process(root: str | None = None) -> Context:
    """Return the context of this process; ``root`` overrides where state is kept.

    For uid 0 that is /run/nestbox, for others $XDG_RUNTIME_DIR/nestbox; $NESTBOX_ROOT overrides
    both.
    """
    environment = dict(os.environ)
    return Context(
        directory=_working_directory(environment),
        environment=environment,
        stdin=0,
        stdout=1,
        stderr=2,
        root=root or default_root(environment, os.geteuid()),
        storage=default_storage(environment, os.geteuid()),
    )


def _working_directory(environment: dict[str, str]) -> str:
    """Return the current directory, or / when it was removed under us."""
    try:
        return os.getcwd()
    except OSError:
        return environment.get("PWD", "/")


def default_storage(environment: dict[str, str], uid: int) -> str:
    """Return the directory for what containers write. Source: XDG Base Directory Specification."""
    if configured := environment.get("NESTBOX_STORAGE"):
        return os.path.abspath(configured)
    if uid == 0:
        return STORAGE_ROOT
    data = environment.get("XDG_DATA_HOME") or f"{environment.get('HOME', '/tmp')}/.local/share"
    return f"{data}/nestbox"
