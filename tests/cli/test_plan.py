"""`nestbox plan`: the decisions and steps of a launch that does not happen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program

RECORDINGS = sorted((Path(__file__).parents[1] / "environments").glob("*.json"))


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def plan(nestbox: Program, *arguments: str) -> dict[str, Any]:
    done = nestbox("plan", "-o", "json", *arguments)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_plan_does_nothing(nestbox: Program, recording: str) -> None:
    nestbox("plan", "--environment", recording, "--name", "box", "-v", "./new:/new", "true")
    assert not (nestbox.base / "state").exists()
    assert not (nestbox.directory / "new").exists()
    assert nestbox.left_behind() == []


def test_a_plan_for_people_fits_eighty_columns(nestbox: Program, recording: str) -> None:
    done = nestbox("plan", "--environment", recording, "--privileged", "--", "true")
    lines = done.stdout.splitlines()
    # One word, such as the options of an overlay, may be longer than a line.
    assert [line for line in lines if len(line) > 80 and len(line.split()) > 1] == []
    assert {"Decisions", "Capabilities"} <= {*lines}
    assert ("Steps" in lines) == (done.returncode == 0)


def test_what_is_less_has_its_cause_and_remedy(nestbox: Program) -> None:
    recorded = next(path for path in RECORDINGS if "without-sys-resource" in path.stem)
    done = nestbox("plan", "--environment", str(recorded), "--privileged", "--", "true")
    assert done.returncode == 0
    head, less = done.stdout.split("\nLess than was asked for\n")
    assert "CAP_SYS_RESOURCE\n  because: " in less
    assert "\n  try:     " in less
    assert "given      40  CHOWN " in head


def test_a_refused_launch_shows_all_decisions_and_then_the_error(nestbox: Program) -> None:
    recorded = next(path for path in RECORDINGS if "without-sys-resource" in path.stem)
    done = nestbox("plan", "--environment", str(recorded), "--cap-add", "SYS_RESOURCE", "true")
    assert done.returncode == 125
    assert "\nrefused     1  SYS_RESOURCE\n" in done.stdout
    assert "\nSteps\n" not in done.stdout
    assert done.stderr.startswith("nestbox: cannot grant CAP_SYS_RESOURCE\n  because: ")


def test_a_plan_for_programs_is_one_document(nestbox: Program) -> None:
    recorded = next(path for path in RECORDINGS if "without-sys-resource" in path.stem)
    where = ("--environment", str(recorded))
    given = plan(nestbox, *where, "--privileged", "true")
    assert given["schema"] == 1
    assert given["profile"] == "privileged"
    assert given["refused"] is None
    assert [one["name"] for one in given["capabilities"] if one["outcome"] == "weakened"] == [
        "CAP_SYS_RESOURCE"
    ]
    assert len(given["capabilities"]) == 41
    assert any("pivot" in line for line in given["plan"])
    assert "CAP_SYS_RESOURCE" in given["warnings"][0]
    refused = plan(nestbox, *where, "--cap-add", "SYS_RESOURCE", "true")
    assert {*refused["refused"]} == {"what", "cause", "remedy"}
    assert refused["plan"] == []


def test_values_of_variables_are_in_no_plan(nestbox: Program, recording: str) -> None:
    for form in ("json", "text"):
        done = nestbox(
            "plan", "-o", form, "--environment", recording, "-e", "TOKEN=very-secret", "true"
        )  # fmt: skip
        assert done.stdout
        assert "very-secret" not in done.stdout + done.stderr


def test_the_same_question_has_the_same_answer(nestbox: Program, recording: str) -> None:
    arguments = ("--environment", recording, "--name", "box", "--privileged", "true")
    assert plan(nestbox, *arguments) == plan(nestbox, *arguments)


@pytest.mark.root
def test_run_does_the_steps_that_plan_shows(nestbox: Program) -> None:
    options = ("--name", "box", "--hostname", "inside", "--tmpfs", "/scratch", "--", "true")
    shown = plan(nestbox, *options)["plan"]
    assert nestbox("run", "--provenance", "log", *options).returncode == 0
    record = json.loads((nestbox.directory / "log").read_text())
    assert record["plan"] == shown


def test_a_recording_that_lacks_what_a_request_needs_is_an_error(
    nestbox: Program, recording: str, tmp_path: Path
) -> None:
    older = json.loads(Path(recording).read_text())
    older.pop("network", None)
    path = tmp_path / "older.json"
    path.write_text(json.dumps(older))
    done = nestbox("plan", "--environment", str(path), "--network", "private", "true")
    assert done.returncode == 125
    assert "does not say what this request needs: network" in done.stderr
    assert "--record" in done.stderr
