"""`nestbox ps`, `exec`, `stop` and the others: containers of engines and of `nestbox run` alike."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.root.driver import SECONDS, Driver, end, expect_line

_NAP = "trap 'exit 3' TERM; echo up; while :; do sleep 1000 & wait; done"


class People:
    """The command `nestbox` beside an engine's runtime: both know of each other's containers."""

    def __init__(self, nestbox: Driver, oci) -> None:
        if not oci.is_nestbox:
            pytest.skip("another runtime's containers are not ours to list")
        self.nestbox, self.oci = nestbox, oci

    def up(self, bundle, **options) -> str:
        """Return a container of an engine that runs."""
        return self.oci.up(bundle, **options)

    def __call__(self, *words: str, **options):
        return self.nestbox.other(*words, **options)

    def ok(self, *words: str, **options) -> str:
        done = self(*words, **options)
        assert done.exit_code == 0, done.stderr
        return done.stdout


@dataclass
class Attended:
    """A container of `nestbox run`, and the process that attends it."""

    name: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def people(nestbox, oci, monkeypatch):
    # The runtime remembers its root below the default one of the people.
    monkeypatch.setenv("NESTBOX_ROOT", str(nestbox.state))
    return People(nestbox, oci)


@pytest.fixture
def attended(nestbox, root, people):
    """Return the name of a container of `nestbox run`, and the process that attends it."""
    name = f"{nestbox.prefix}-attended"
    process = nestbox.start(
        "--rootfs", str(root), "--name", name, "--memory", "64m", "--", "sh", "-c", _NAP
    )
    expect_line(process, b"up")
    yield Attended(name, process)
    people("rm", "--force", name)
    process.communicate(timeout=SECONDS)


def test_ps_lists_both_kinds(people, bundle, attended):
    name = people.up(bundle.args("sleep", "1000"))
    listed = {one["id"]: one for one in json.loads(people.ok("ps", "-o", "json"))}
    assert set(listed) == {name, attended.name}
    assert listed[name]["root"] == str(people.oci.root)
    assert listed[name]["origin"] == "engine"
    assert listed[name]["command"] == ["sleep", "1000"]
    assert listed[attended.name]["origin"] == "run"
    assert {one["status"] for one in listed.values()} == {"running"}
    table = people.ok("ps", env={**people.nestbox.environment(), "COLUMNS": "200"})
    assert table.splitlines()[0].split()[:3] == ["CONTAINER", "STATUS", "PID"]
    assert people.ok("ps", "-q").split() == [attended.name, name]


def test_ps_leaves_out_what_has_stopped_unless_asked(people, bundle):
    name = people.up(bundle.args("true"))
    people.oci.wait(name)
    assert people.ok("ps", "-q") == ""
    assert people.ok("ps", "-aq").split() == [name]


def test_the_beginning_of_an_id_is_enough(people, bundle):
    name = people.up(bundle)
    other = people.up(bundle)
    assert json.loads(people.ok("inspect", name))[0]["id"] == name
    done = people("inspect", people.oci.prefix)
    assert done.exit_code == 125
    assert f'several containers are meant by "{people.oci.prefix}"' in done.stderr
    people.oci.ok("delete", "--force", other)
    assert json.loads(people.ok("inspect", people.oci.prefix))[0]["id"] == name


def test_an_unknown_name_is_answered_with_a_similar_one(people, bundle):
    name = people.up(bundle)
    done = people("stop", name[:-1] + "x")
    assert done.exit_code == 125
    assert f"did you mean {name}?" in done.stderr


def test_one_that_fails_does_not_keep_the_others_from_it(people, bundle):
    name = people.up(bundle)
    done = people("kill", "nobody", name)
    assert done.exit_code == 125
    assert done.stdout.split() == [name]
    people.oci.wait(name)


def test_stop_gives_time_to_end(people, bundle, voice):
    name = people.up(bundle.shell(_NAP), stdout=voice.writing)
    assert voice.line() == "up"
    assert people.ok("stop", name).split() == [name]
    assert people.oci.status(name) == "stopped"
    assert people.ok("stop", name).split() == [name]  # it is as it should be


def test_stop_kills_what_does_not_end(people, bundle, voice):
    # The first process of a pid namespace ignores what it has no handler for.
    name = people.up(bundle.args("sleep", "1000"))
    people.ok("stop", "--time", "0.1", name)
    assert people.oci.status(name) == "stopped"


def test_stop_of_one_that_is_attended(people, attended):
    people.ok("stop", attended.name)
    assert end(attended.process).exit_code == 3
    assert people("stop", attended.name).exit_code == 125  # it was removed at its end


def test_rm_needs_force_for_what_runs(people, bundle, attended):
    name = people.up(bundle)
    done = people("rm", name, attended.name)
    assert done.exit_code == 125
    assert done.stderr.count("not stopped: running") == 2
    people.ok("rm", "--force", name, attended.name)
    assert attended.process.wait(SECONDS) == 128 + 9
    assert people.ok("ps", "-aq") == ""
    assert not (people.nestbox.state / attended.name).exists()


def test_rm_of_one_whose_nestbox_was_killed(people, attended):
    attended.process.kill()
    attended.process.wait(SECONDS)
    people.ok("rm", "--force", attended.name)
    assert not (people.nestbox.state / attended.name).exists()


def test_pause_and_resume(people, bundle):
    name = people.up(bundle)
    people.ok("pause", name)
    assert json.loads(people.ok("ps", "-o", "json"))[0]["status"] == "paused"
    assert people("pause", name).exit_code == 125
    people.ok("resume", name)
    assert people.oci.status(name) == "running"


def test_exec_returns_the_status_and_passes_words_on(people, bundle):
    name = people.up(bundle)
    assert people.ok("exec", name, "echo", "-n", "--flag") == "--flag"
    assert people("exec", name, "sh", "-c", "exit 42").exit_code == 42
    assert people("exec", name, "nonsense").exit_code == 127
    assert people("exec", name, "/etc/passwd").exit_code == 126


def test_exec_in_a_directory_with_variables_as_a_user(people, bundle):
    name = people.up(bundle)
    script = "pwd; echo $ONE $TWO; id -u; id -g; id -G"
    environment = {**people.nestbox.environment(), "TWO": "2"}
    words = ("-w", "/tmp", "-e", "ONE=1", "-e", "TWO", "-u", "worker")
    printed = people.ok("exec", *words, name, "sh", "-c", script, env=environment)
    assert printed.splitlines() == ["/tmp", "1 2", "1000", "1000", "1000 29 44"]
    done = people("exec", "-u", "nobodyknows", name, "true")
    assert done.exit_code == 125
    assert "/etc/passwd has no 'nobodyknows'" in done.stderr


def test_exec_reads_standard_input_only_when_told_to(people, bundle):
    name = people.up(bundle)
    assert people.ok("exec", "-i", name, "cat", input=b"text") == "text"
    assert people.ok("exec", name, "cat", input=b"text") == ""


def test_exec_where_nothing_runs(people, bundle):
    name = people.up(bundle.args("true"))
    people.oci.wait(name)
    done = people("exec", name, "true")
    assert done.exit_code == 125
    assert "cannot exec in a stopped container" in done.stderr


def test_stats_of_both_kinds(people, bundle, attended):
    name = people.up(bundle.shell("while :; do :; done"))
    used = {one["id"]: one for one in json.loads(people.ok("stats", "--no-stream", "-o", "json"))}
    assert set(used) == {name, attended.name}
    assert used[name]["cpu_percent"] > 5
    assert used[attended.name]["memory_limit"] == 64 << 20
    assert all(one["memory"] > 0 for one in used.values())


def test_inspect_has_configuration_and_record(people, bundle, attended):
    name = people.up(bundle)
    first, second = json.loads(people.ok("inspect", name, attended.name))
    assert first["config"]["process"]["args"] == ["sleep", "1000"]
    assert first["namespaces"]
    assert second["record"]["request"]["argv"][0] == "sh"


def test_what_they_see_is_safe_against_a_damaged_state(people, bundle):
    name = people.up(bundle)
    broken = people.oci.root / "broken"
    broken.mkdir()
    (broken / "container.json").write_text("{")
    assert people.ok("ps", "-q").split() == [name]


def test_completion_of_names(people, bundle):
    name = people.up(bundle)
    environment = {
        **people.nestbox.environment(),
        "_NESTBOX_COMPLETE": "bash_complete",
        "COMP_WORDS": f"nestbox stop {name[:3]}",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [*people.nestbox.command], env=environment, capture_output=True, text=True, check=False
    )
    assert name in done.stdout
    assert Path(people.oci.root, name).exists()
