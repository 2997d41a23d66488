"""start: let the executor of a created container become its program. Loads as little as it can."""

from __future__ import annotations

import os

from nestbox.errors import NestboxError, StateError, reason
from nestbox.runtime.oci.container import CREATED, RUNNING, SOCKET, STOPPED, Container
from nestbox.runtime.oci.stages import tell_started
from nestbox.runtime.oci.store import Store
from nestbox.runtime.oci.talk import FAILED, LISTENER, Report, Talk, converse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.oci.notify import NotifySocket
    from nestbox.runtime.oci.requests import Log
    from nestbox.runtime.oci.talk import Answer


def start(root: str, container_id: str, log: Log) -> None:
    """Run the program of a created container.

    Raises:
        StateError: the container is not created, or not any more.
        NestboxError: the program cannot be executed or a hook failed; the container is stopped.
    """
    store = Store(root)
    held = store.hold(container_id)
    try:
        container = store.load(container_id)
        notify = notify_socket(container)
        start_held(container, log)
    finally:
        held.let_go()
    process = container.process()
    if notify is not None and process is not None:
        notify.forward(process.pid, log)


def notify_socket(container: Container) -> NotifySocket | None:
    """Return where the program will tell that it is ready, when a service manager waits for that.

    It has to be there before the program runs. Raises LaunchError when it cannot be made.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return None
    from nestbox.runtime.oci.notify import listen_if_asked

    return listen_if_asked(container.directory, os.environ)


def start_held(container: Container, log: Log) -> None:
    """As ``start``, for whoever has the lock of the container already."""
    status = container.status()
    if status != CREATED:
        raise _not_created(container, status)
    if not container.state.has_process:
        _end_without_program(container, log)
        return
    hooks = container.state.hooked
    talk = _connect(container)
    failure: NestboxError | None = None

    def act(report: Report) -> Answer | None:
        nonlocal failure
        if report.kind == FAILED:
            failure = _failure(container, report)
        elif report.kind == LISTENER and report.fd >= 0:
            _hand_to_agent(container, report.fd)
        return None

    try:
        # From here on it is no longer to be started, whatever becomes of us.
        os.unlink(container.path(SOCKET))
        talk.go(_state_document(container, CREATED) if hooks else b"")
        converse(talk, act)
    except OSError as error:
        raise _gone(container, reason(error)) from error
    except NestboxError:
        from nestbox.runtime.oci.destroy import end_processes

        end_processes(container)  # a program whose filter nobody answers must not run
        raise
    finally:
        talk.close()
    if failure is not None:
        raise failure
    tell_started(log)
    if hooks:
        from nestbox.runtime.oci.hook_points import after_start

        after_start(container, log)


def _not_created(container: Container, status: str) -> StateError:
    causes = {
        STOPPED: "cannot start a container that has stopped",
        RUNNING: "cannot start an already running container",
    }
    return StateError(
        f'cannot start the container "{container.id}"',
        cause=causes.get(status, f"cannot start a container in the {status} state"),
        remedy="create it, and start it once",
    )


def _end_without_program(container: Container, log: Log) -> None:
    """Stop a container whose configuration has no process, which is no failure of start."""
    from nestbox.runtime.oci.destroy import end_processes

    log.warning("the configuration has no process: there is nothing to start")
    end_processes(container)


def _connect(container: Container) -> Talk:
    from nestbox.runtime.oci.waiting import connect

    try:
        return Talk(connect(container.directory))
    except OSError as error:
        raise _gone(container, reason(error)) from error


def _gone(container: Container, cause: str) -> StateError:
    return StateError(
        f'cannot start the container "{container.id}"',
        cause=f"its waiting process is not to be reached: {cause}",
        remedy="look at its status; delete it and create it again",
    )


def _hand_to_agent(container: Container, listener: int) -> None:
    """Hand the listener of a filter to its agent: with no_new_privs it is loaded only now."""
    from nestbox.oci.read import parse_config
    from nestbox.runtime.oci.seccomp_agent import hand_over

    config = parse_config(container.configuration(), source=container.path("config.json"))
    process = container.process()
    pid = 0 if process is None else process.pid
    hand_over(config.linux.seccomp, listener, pid, _state_document(container, CREATED))


def _state_document(container: Container, status: str) -> bytes:
    """Return the state that a hook reads on its standard input."""
    from nestbox.runtime.oci.documents import state_document

    return state_document(container, status)


def _failure(container: Container, report: Report) -> NestboxError:
    """Return the error for a step that failed; only now the plan is read."""
    from nestbox.runtime.oci.failures import explain_kept

    return explain_kept(container, report)
