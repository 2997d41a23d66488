"""nestbox lock, and doctor --diff, as they are called."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from nestbox.cli.main import run

RECORDINGS = Path(__file__).parents[1] / "doctor" / "recordings"
HOST, DOCKER = (str(RECORDINGS / f"{name}.json") for name in ("host", "docker-default"))


def test_a_lock_is_written_and_holds_here(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "nestbox.lock")
    assert run(["lock", file]) == 0
    assert capfd.readouterr().out == ""
    assert run(["lock", "--check", file]) == 0
    assert capfd.readouterr().out == f"containers get here what {file} says\n"
    assert [path.name for path in tmp_path.iterdir()] == ["nestbox.lock"]


def test_a_runner_that_gives_less_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "nestbox.lock")
    assert run(["lock", "--environment", HOST, file]) == 0
    capfd.readouterr()
    assert run(["lock", "--check", "--environment", DOCKER, "-o", "json", file]) == 1
    changed = msgspec.json.decode(capfd.readouterr().out)
    lost = {one["capability"] for one in changed if one["profile"] == "privileged"}
    assert "CAP_SYS_ADMIN" in lost
    assert "CAP_CHOWN" not in lost


@pytest.mark.parametrize("file", ["/nonexistent/lock", "/", "/dev/null", "/dev/zero"])
def test_no_lock_is_exit_code_2(file: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["lock", "--check", "--environment", HOST, file]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert "because: " in told.err


def test_a_lock_that_cannot_be_written_is_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["lock", "--environment", HOST, "/nonexistent/lock"]) == 2
    assert "cannot write the lock" in capfd.readouterr().err


def test_diff_says_what_differs(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--diff", HOST, DOCKER]) == 1
    assert "capability: bounding, permitted, effective\n" in capfd.readouterr().out
    assert run(["doctor", "--diff", HOST, HOST]) == 0
    assert capfd.readouterr().out == "nothing differs\n"


def test_diff_with_what_is_here(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "here.json")
    run(["doctor", "--record", file])
    capfd.readouterr()
    assert run(["doctor", "--diff", file, "here"]) == 0, capfd.readouterr().out


def test_diff_of_no_recording_is_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--diff", HOST, "/nonexistent"]) == 2
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("form", ["junit", "sarif", "markdown", "html", "nfd", "prometheus"])
def test_every_form_is_printed_with_the_same_exit_code(
    form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--environment", DOCKER, "-o", form]) == 1
    assert run(["doctor", "--environment", HOST, "-o", form]) == 0
    told = capfd.readouterr()
    assert told.err == ""
    assert len(told.out) > 100


def test_a_required_profile_that_would_get_less_fails(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--environment", HOST, "--require", "minimal"]) == 0
    assert "none is missed here" in capfd.readouterr().out
    assert run(["doctor", "--environment", DOCKER, "--require", "minimal"]) == 1
    assert capfd.readouterr().out.count("\nmissing   minimal ") == 1


def test_a_required_profile_of_ones_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nextends: default\ncapabilities: {grant: [NET_ADMIN]}\n")
    assert run(["doctor", "--environment", HOST, "--require", str(file)]) == 0
    assert run(["doctor", "--environment", DOCKER, "--require", str(file)]) == 1
    assert "CAP_NET_ADMIN" in capfd.readouterr().out


def test_an_unknown_required_profile_is_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--environment", HOST, "--require", "minmal"]) == 2
    assert "minimal" in capfd.readouterr().err


def test_for_a_workload(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--environment", HOST, "--for", "tcpdump"]) == 0
    assert run(["doctor", "--environment", DOCKER, "--for", "dockerd", "--remedy", "docker"]) == 1
    assert "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN" in capfd.readouterr().out
    assert run(["doctor", "--environment", HOST, "--for", "dokerd"]) == 2
    assert "did you mean dockerd?" in capfd.readouterr().err
    less = str(RECORDINGS / "capabilities-only.json")
    assert run(["doctor", "--environment", less, "--for", "dockerd"]) == 2
    assert "not observed" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--quick", "--record", "x"),
        ("--quick", "--environment", HOST),
        ("--diff", HOST, HOST, "--quick"),
        ("--diff", HOST, HOST, "-o", "html"),
        ("--for", "tcpdump", "-o", "junit"),
        ("--for", "tcpdump", "--require", "minimal"),
        ("--leaks", "--for", "tcpdump"),
        ("--remedy", "docker"),
        ("--record", "x", "--", "true"),
    ],
)
def test_what_would_be_passed_over_is_refused(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["doctor", *words]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert "because: " in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
@pytest.mark.parametrize("check", [(), ("--check",)])
def test_a_lock_is_a_regular_file_or_nothing_is_touched(
    kind: str, check: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lock"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        path.mkdir()
    before = path.stat()
    assert run(["lock", *check, "--environment", HOST, str(path)]) == 2
    assert "no regular file" in capfd.readouterr().err
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)
    assert [one.name for one in tmp_path.iterdir()] == ["lock"]


def test_a_process_and_a_container_are_not_explained_at_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["explain", "--pid", "1", "web"]) == 125
    assert "not both" in capfd.readouterr().err
