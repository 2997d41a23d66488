"""nestbox caps, as it is called."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nestbox.cli.main import run
from nestbox.doctor.outlook import Outlooks
from nestbox.kernel.capabilities import TABLE, mask_of
from nestbox.kernel.syscalls import thread_rights


@pytest.fixture(autouse=True)
def _own_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTBOX_STORAGE", str(tmp_path))


def test_there_is_one_row_for_each_capability(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["caps"]) == 0
    text = capfd.readouterr().out
    rows = [line for line in text.splitlines() if " CAP_" in line]
    assert [row.split()[1] for row in rows] == [row.name for row in TABLE]
    assert max(map(len, text.splitlines())) <= 80


def test_the_outer_sets_are_those_that_the_kernel_reports(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["caps", "-o", "json"]) == 0
    table = msgspec.json.decode(capfd.readouterr().out, type=Outlooks)
    rights = thread_rights()
    for name in ("inheritable", "permitted", "effective", "bounding", "ambient"):
        held = mask_of(tuple(row.number for row in table.capabilities if getattr(row.outer, name)))
        assert held == getattr(rights, name)
    assert table.last == rights.last
    assert table.profiles == ("privileged", "default", "minimal")


def test_an_argument_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["caps", "SYS_ADMIN"]) == 125
    assert "because: " in capfd.readouterr().err
