"""The runtimes as an engine calls them: every command works, and nothing is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import bundle, engine, hierarchies, process, programs, root, runtimes
from bench.comparison import LIFECYCLE
from bench.launchers import Setting
from bench.runtimes import Runtime

ROUNDS = engine.Rounds(warmup=1, commands=1, parallel=1, alive=1, levels=(1, 3))


@pytest.fixture(name="directory")
def _directory(tmp_path: Path) -> Path:
    setting = Setting(
        work=tmp_path,
        root=root.build(tmp_path / "root"),
        restrictions=bundle.restrictions(),
        cgroups=hierarchies.here(),
        seccomp=None,
    )
    return runtimes.write_bundle(tmp_path / "bundle", setting)


@pytest.fixture(name="runtime", params=[runtimes.NESTBOX, runtimes.RUNC])
def _runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    (tmp_path / "state").mkdir()
    found, absent = runtimes.available(tmp_path / "state", lambda name: name == request.param)
    if not found:
        pytest.skip("; ".join(absent))
    with runtimes.subreaper(found):
        yield found[0]


def containers(runtime: Runtime) -> list[str]:
    """Return the ids in the state directory of a runtime."""
    return sorted(path.name for path in runtime.state_directory.glob("bench-*"))


@pytest.mark.root
def test_each_command_is_timed_and_its_container_is_gone(runtime: Runtime, directory: Path) -> None:
    series = engine.commands([runtime], directory, ROUNDS, lambda _done, _of: None)
    took = {each.case: each.seconds[0] for each in series}
    assert took[LIFECYCLE] == sum(took[name] for name in ("create", "start", "kill", "delete"))
    assert took["state"] > 0
    assert took["exec"] > 0
    assert containers(runtime) == []


@pytest.mark.root
def test_so_many_are_alive_as_asked_for_and_none_afterwards(
    runtime: Runtime, directory: Path
) -> None:
    runtime.fill(directory, 2)
    runtime.fill(directory, 3)
    assert len(containers(runtime)) == 3
    runtime.remove()
    assert containers(runtime) == []


@pytest.mark.root
def test_what_a_failed_run_has_made_is_removed(runtime: Runtime, directory: Path) -> None:
    def two(second: Path) -> None:
        with runtimes.subreaper([runtime]):
            runtime.running(directory)
            runtime.running(second)

    with pytest.raises(process.LaunchFailedError, match="absent"):
        two(directory / "absent")
    assert containers(runtime) == []


@pytest.mark.root
def test_some_at_once_and_some_beside_others(runtime: Runtime, directory: Path) -> None:
    (at_once,) = engine.parallel([runtime], directory, ROUNDS, lambda _done, _of: None)
    assert (at_once.case, len(at_once.seconds)) == ("8 at once", 1)
    beside = engine.alive([runtime], directory, None, ROUNDS, lambda _done, _of: None)
    assert [each.case for each in beside] == ["1 alive", "3 alive"]
    assert containers(runtime) == []


def test_an_interrupt_waits_for_the_end_of_a_clean_up() -> None:
    reached = []

    def clean_up() -> None:
        with runtimes.uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        clean_up()
    assert reached == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_runtime_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNC", "/nonexistent/runc")
    found, (line,) = runtimes.available(tmp_path, lambda name: name == runtimes.RUNC)
    assert found == []
    assert line.startswith("runc is left out of the commands: /nonexistent/runc")
    with pytest.raises(programs.NotAvailableError):
        programs.find("runc", "RUNC")
