"""What a container of an engine got and why not more: in its log, and from its record then.

CAP_SYS_RESOURCE is taken from the runtime, so that it is the same on a machine that has it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.root.driver import SECONDS

NESTBOX = str(Path(sys.executable).with_name("nestbox"))
EVERY = ("bounding", "effective", "permitted")


@pytest.fixture
def restricted(oci, monkeypatch):
    """Return the runtime without CAP_SYS_RESOURCE, as it is where it is lost outside."""
    words = oci.words

    def without(*arguments):
        return [
            "capsh",
            "--drop=cap_sys_resource",
            "--",
            "-c",
            'exec "$@"',
            "-",
            *words(*arguments),
        ]

    monkeypatch.setattr(oci, "words", without)
    return oci


@pytest.fixture
def greedy(bundle):
    """Return a bundle that asks for what cannot be given."""
    for kind in EVERY:
        bundle.process["capabilities"][kind].append("CAP_SYS_RESOURCE")
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]
    bundle.process["oomScoreAdj"] = -900
    return bundle


def explain(name, *words):
    return subprocess.run(
        [NESTBOX, "explain", name, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_what_is_left_out_is_in_the_log_with_its_cause(restricted, greedy):
    name = restricted.up(greedy)
    warnings = restricted.messages("warning")
    (capability,) = [x for x in warnings if "CAP_SYS_RESOURCE" in x and "RLIMIT" not in x][:1]
    assert "left out" in capability
    assert "bounding set" in capability
    assert any("RLIMIT_NOFILE" in x for x in warnings), warnings
    assert any("oom" in x.lower() for x in warnings), warnings
    assert restricted.status(name) == "running"


def test_the_record_answers_while_it_runs_and_after(restricted, greedy):
    name = restricted.up(greedy)
    for status in ("running", "deleted"):
        done = explain(name, "SYS_RESOURCE")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0].endswith(status)
        assert "CAP_SYS_RESOURCE" in done.stdout
        assert "process.capabilities.bounding" in done.stdout
        document = json.loads(explain(name, "-o", "json").stdout)
        assert document["container"] == name
        assert document["command"] == ["sleep", "1000"]
        subjects = {one["subject"] for one in document["decisions"]}
        assert any("RLIMIT_NOFILE" in one for one in subjects), subjects
        restricted.ok("delete", "--force", name)


def test_strict_refuses_with_everything_that_is_missing(restricted, greedy):
    greedy.config["annotations"] = {"org.nestbox.strict": "true"}
    done = restricted.try_create(greedy, restricted.new_id())
    assert done.exit_code == 1
    for word in ("CAP_SYS_RESOURCE", "RLIMIT_NOFILE", "oom"):
        assert word.lower() in done.stderr.lower()
    assert not list(restricted.root.glob("[!.@]*"))


def test_values_of_variables_are_in_no_record(oci, bundle):
    bundle.process["env"].append("SECRET=hunter2")
    name = oci.up(bundle)
    record = (oci.root / name / "record.json").read_text()
    assert "hunter2" not in record
    plan = (oci.root / name / "plan.json").read_text()
    assert "hunter2" not in plan
