"""What an engine asks of a runtime: each command, several launchers at once, many alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec

from bench.comparison import LIFECYCLE, OF_LIFECYCLE, Series
from bench.launchers import FLOOR, Launcher
from bench.measure import interleave
from bench.runtimes import CREATE, DELETE, EXEC, KILL, START, STATE, Runtime

AT_ONCE: Final = 8
_CASES: Final = (LIFECYCLE, CREATE, START, STATE, EXEC, KILL, DELETE)

Progress = Callable[[int, int], None]


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured of each."""

    warmup: int
    commands: int
    parallel: int
    alive: int
    levels: tuple[int, ...]  # how many containers are alive, ascending


def commands(
    runtimes: Sequence[Runtime], bundle: Path, rounds: Rounds, progress: Progress
) -> tuple[Series, ...]:
    """Return the times of each command, all runtimes interleaved.

    In each round a runtime creates, starts, kills and deletes a container of its own; `state` and
    `exec` ask one that has been running since the beginning.

    Raises:
        LaunchFailedError: a command failed.
    """
    steady = {each.name: each.running(bundle) for each in runtimes}

    def once(runtime: Runtime) -> dict[str, float]:
        took = runtime.lifecycle(bundle)
        identity = steady[runtime.name]
        took |= {STATE: runtime.state(identity), EXEC: runtime.execute(identity)}
        return {LIFECYCLE: sum(took[each] for each in OF_LIFECYCLE), **took}

    samples = interleave(
        [partial(once, each) for each in runtimes],
        count=rounds.commands,
        warmup=rounds.warmup,
        progress=progress,
    )
    for each in runtimes:
        each.remove()
    return tuple(
        Series(case=case, runtime=runtime.name, seconds=[took[case] for took in all_of_it])
        for case in _CASES
        for runtime, all_of_it in zip(runtimes, samples, strict=True)
    )


def parallel(
    runtimes: Sequence[Runtime], bundle: Path, rounds: Rounds, progress: Progress
) -> tuple[Series, ...]:
    """Return the time until the last of some lifecycles that begin at once has ended.

    Raises:
        LaunchFailedError: a command failed.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def once(runtime: Runtime) -> float:
            start = perf_counter()
            for _ in pool.map(lambda _: runtime.lifecycle(bundle), range(AT_ONCE)):
                pass
            return perf_counter() - start

        samples = interleave(
            [partial(once, each) for each in runtimes],
            count=rounds.parallel,
            warmup=1,
            progress=progress,
        )
    return tuple(
        Series(case=f"{AT_ONCE} at once", runtime=runtime.name, seconds=seconds)
        for runtime, seconds in zip(runtimes, samples, strict=True)
    )


def alive(
    runtimes: Sequence[Runtime],
    bundle: Path,
    floor: Launcher | None,
    rounds: Rounds,
    progress: Progress,
) -> tuple[Series, ...]:
    """Return the time of one lifecycle beside some running containers of the same runtime.

    The runtimes take turns, so that no more are alive than the case says; the floor, launched in
    between, shows what of a growth is the kernel's.

    Raises:
        LaunchFailedError: a command failed.
    """
    found: dict[tuple[int, str], list[float]] = {}
    for runtime in runtimes:
        for level in rounds.levels:
            runtime.fill(bundle, level)
            tasks: list[Callable[[], float]] = [partial(_lifecycle, runtime, bundle)]
            if floor is not None:
                tasks.append(floor.launch)
            samples = interleave(tasks, count=rounds.alive, warmup=1, progress=progress)
            names = (runtime.name, f"{FLOOR} beside {runtime.name}")
            found |= {(level, name): took for name, took in zip(names, samples, strict=False)}
        runtime.remove()
    rows = dict.fromkeys(name for _, name in found)
    return tuple(
        Series(case=f"{level:,} alive", runtime=name, seconds=found[level, name])
        for level in rounds.levels
        for name in rows
    )


def _lifecycle(runtime: Runtime, bundle: Path) -> float:
    return sum(runtime.lifecycle(bundle).values())
