"""The hooks that the runtime runs itself, in its own namespaces: when, and with which state.

Source: runtime-spec runtime.md, "Lifecycle"; config.md, "POSIX-platform Hooks".
"""

from __future__ import annotations

from nestbox.errors import NestboxError
from nestbox.oci.config import Config
from nestbox.oci.read import parse_config
from nestbox.runtime.oci.container import CREATED, CREATING, RUNNING, Container
from nestbox.runtime.oci.documents import state_document
from nestbox.runtime.oci.hooks import run_hooks
from nestbox.runtime.oci.requests import Log
from nestbox.runtime.processes import read_process


def before_start(container: Container, config: Config, pid: int) -> None:
    """Run prestart and createRuntime once the namespaces exist. Raises LaunchError."""
    # The deprecated kind is told what it was told before there was another one.
    run_hooks("prestart", config.hooks.prestart, state_document(container, CREATED, pid))
    state = state_document(container, CREATING, pid)
    run_hooks("createRuntime", config.hooks.create_runtime, state)


def after_start(container: Container, log: Log) -> None:
    """Run poststart once the program runs; the container is killed when one fails.

    Raises:
        LaunchError: one failed.
    """
    config = _configuration(container)
    if not config.hooks.poststart:
        return
    # Named also where it is over already: a short program can be faster than we are.
    process = read_process(container.path("process"))
    state = state_document(container, RUNNING, process.pid if process is not None else None)
    try:
        run_hooks("poststart", config.hooks.poststart, state)
    except NestboxError:
        from nestbox.runtime.oci.destroy import end_processes

        end_processes(container)
        raise


def after_stop(container: Container, status: str, log: Log) -> None:
    """Run poststop after everything else is gone; each failure is a warning and no more."""
    config = _configuration(container)
    state = state_document(container, status)
    for number, hook in enumerate(config.hooks.poststop):
        try:
            run_hooks("poststop", (hook,), state, first=number)
        except NestboxError as error:
            log.warning(str(error))


def _configuration(container: Container) -> Config:
    return parse_config(container.configuration(), source=container.path("config.json"))
