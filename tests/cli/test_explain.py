"""nestbox explain, as it is called, on launches that were really made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nestbox.cli.main import run
from nestbox.doctor.account import Account
from nestbox.kernel.capabilities import TABLE
from nestbox.policy.decision import Outcome

Output = Callable[[], str]
Launch = Callable[..., None]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NESTBOX_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("NESTBOX_STORAGE", str(tmp_path / "storage"))
    return tmp_path / "root"


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str]) -> Output:
    return lambda: capfd.readouterr().out


@pytest.fixture
def launch(capfd: pytest.CaptureFixture[str]) -> Launch:
    """Return a function that launches ``sh -c "exit 3"`` with these flags."""

    def launched(name: str, *flags: str) -> None:
        assert run(["run", "--name", name, *flags, "--", "sh", "-c", "exit 3"]) == 3
        capfd.readouterr()

    return launched


def test_without_records_the_list_says_so(output: Output, root: Path) -> None:
    assert run(["explain"]) == 0
    assert output() == f"no records in {root}: nestbox run makes one for each container\n"


@pytest.mark.root
def test_the_list_has_the_newest_first(launch: Launch, output: Output) -> None:
    launch("first")
    launch("second", "--profile", "minimal")
    assert run(["explain", "-o", "json"]) == 0
    rows = msgspec.json.decode(output())
    assert [(row["container"], row["profile"], row["exit_code"]) for row in rows] == [
        ("second", "minimal", 3),
        ("first", "default", 3),
    ]
    assert rows[0]["command"] == "sh -c 'exit 3'"
    assert run(["explain"]) == 0
    assert [line.split()[0] for line in output().splitlines()] == ["container", "second", "first"]


@pytest.mark.root
def test_every_capability_of_a_finished_container_is_explained(
    launch: Launch, output: Output
) -> None:
    launch("web", "--cap-drop", "MKNOD", "--cap-add", "NET_ADMIN?")
    assert run(["explain", "web", "-o", "json"]) == 0
    account = msgspec.json.decode(output(), type=Account)
    assert [one.decision.name for one in account.capabilities] == [row.name for row in TABLE]
    for one in account.capabilities:
        assert one.decision.asked_by or one.decision.outcome is Outcome.NOT_ASKED
        assert one.read_back is not None
        assert one.read_back.bounding == one.decision.bounding.given
        assert one.read_back.permitted == one.decision.permitted.given
    assert run(["explain", "web"]) == 0
    text = output()
    assert "exit code 3" in text
    assert "27 CAP_MKNOD              dropped   ----- -----" in text


@pytest.mark.root
def test_capabilities_can_be_named_in_any_way(launch: Launch, output: Output) -> None:
    launch("web")
    assert run(["explain", "web", "sys_boot", "CAP_CHOWN", "27", "CAP_5"]) == 0
    heads = [line for line in output().splitlines() if line.startswith("CAP_")]
    assert [head.partition(" ")[0] for head in heads] == [
        "CAP_CHOWN",
        "CAP_KILL",
        "CAP_SYS_BOOT",
        "CAP_MKNOD",
    ]


@pytest.mark.root
def test_an_unknown_container_is_answered_with_a_similar_one(
    launch: Launch, capfd: pytest.CaptureFixture[str]
) -> None:
    launch("frontend")
    assert run(["explain", "frontned"]) == 125
    assert "did you mean frontend?" in capfd.readouterr().err
    assert run(["explain", "fro"]) == 125
    assert "did you mean frontend?" in capfd.readouterr().err
    assert run(["explain", "zzz"]) == 125
    assert "did you mean" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "hint"),
    [("SYS_BOOTS", "did you mean SYS_BOOT?"), ("64", "63"), ("CAP_", "prefix"), ("", "empty")],
)
def test_a_bad_capability_is_refused(
    name: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", "web", name]) == 125
    assert hint in capfd.readouterr().err


@pytest.mark.parametrize("name", ["../web", "a/b", "", ".", "a\0b", "x" * 300])
def test_a_name_that_is_a_path_is_refused(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", name]) == 125
    told = capfd.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err


@pytest.mark.root
def test_a_damaged_record_is_told_and_does_not_hide_the_others(
    launch: Launch, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    launch("good")
    launch("bad")
    (root / "@records" / "bad.json").write_text('{"id": "bad"')
    assert run(["explain", "bad"]) == 125
    assert "cannot read the record" in capfd.readouterr().err
    assert run(["explain"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert any(line.startswith("good ") and "default" in line for line in lines)
    assert any(line.startswith("bad ") and "cannot read the record" in line for line in lines)
