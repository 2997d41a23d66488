"""`nestbox explain --pid`: what any process has, and what it lost on the way."""

from __future__ import annotations


def explain_process(pid: int, root: str, output: str) -> None:
    """Print the account of a process.

    Raises:
        EnvironmentUnreadable: /proc does not show it.
    """
    from nestbox.cli.output import say_json
    from nestbox.doctor.process_account import account_of_process, render_process
    from nestbox.outer.facts import EngineKind, Subject
    from nestbox.outer.probe import observe
    from nestbox.outer.process import observe_process
    from nestbox.runtime.context import context_of_process

    facts = observe_process(pid)
    context = context_of_process()
    here = observe(
        frozenset({Subject.CAPABILITIES, Subject.ENGINE}),
        state_directory=context.storage,
        environment=context.environment,
    )
    account = account_of_process(
        facts,
        last=here.capabilities.last if here.capabilities else 0,
        container=_container_of((pid, *(above.pid for above in facts.above)), root),
        engine=here.engine.kind if here.engine else EngineKind.NONE,
    )
    if output == "json":
        say_json(account)
        return
    from nestbox.cli.page import page, show

    show(render_process(account, page()))


def _container_of(pids: tuple[int, ...], root: str) -> str:
    """Return the container whose first process is the nearest of these; empty for none."""
    from nestbox.runtime.containers import list_containers

    first = {one.pid: one.id for one in list_containers(root) if one.pid}
    return next((first[pid] for pid in pids if pid in first), "")
