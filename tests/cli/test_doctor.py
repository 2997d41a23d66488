"""nestbox doctor, as it is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import nestbox
from nestbox.cli.main import run
from nestbox.doctor.report import Report, Verdict
from nestbox.outer.recording import load
from tests.users import another_user

RECORDINGS = Path(__file__).parents[1] / "doctor" / "recordings"
PACKAGE = str(Path(nestbox.__file__).parents[1])
CALL = "import sys; from nestbox.cli.main import run; sys.exit(run(sys.argv[1:]))"

Output = Callable[[], str]


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str]) -> Output:
    return lambda: capfd.readouterr().out


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTBOX_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("NESTBOX_STORAGE", str(tmp_path / "storage"))


def test_exit_code_0_where_nothing_is_missing(output: Output) -> None:
    assert run(["doctor", "--environment", str(RECORDINGS / "host.json")]) == 0
    assert output().startswith("41 capabilities known to this kernel; none missing\n")


def test_exit_code_1_where_something_is_missing(output: Output) -> None:
    assert run(["doctor", "--environment", str(RECORDINGS / "docker-default.json")]) == 1
    assert "CAP_SYS_ADMIN" in output()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format": 9}', b'{"kernel": 3}', b"\xff\0"])
def test_exit_code_2_where_the_recording_is_none(
    text: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recording.json"
    file.write_bytes(text)
    assert run(["doctor", "--environment", str(file)]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert "because: " in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize("path", ["/nonexistent", "/", "/dev/zero", "a\0b"])
def test_exit_code_2_where_the_recording_cannot_be_read(
    path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--environment", path]) == 2
    assert "cannot read the recording" in capfd.readouterr().err


def test_exit_code_2_where_the_recording_cannot_be_written(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["doctor", "--record", "/nonexistent/here.json"]) == 2
    assert "cannot write the recording" in capfd.readouterr().err


def test_what_is_recorded_here_is_examined_alike_elsewhere(tmp_path: Path, output: Output) -> None:
    file = tmp_path / "here.json"
    first = run(["doctor", "-o", "json", "--record", str(file)])
    here = msgspec.json.decode(output(), type=Report)
    assert run(["doctor", "-o", "json", "--environment", str(file)]) == first
    assert msgspec.json.decode(output(), type=Report) == here
    assert load(file.read_bytes()).capabilities is not None


def test_nothing_is_unknown_in_the_environment_that_we_are_in(output: Output) -> None:
    run(["doctor", "-o", "json"])
    report = msgspec.json.decode(output(), type=Report)
    assert [check for check in report.checks if check.verdict is Verdict.UNKNOWN] == []
    assert report.fingerprint


def test_without_a_terminal_there_are_80_columns_and_no_colour(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run(["doctor"])
    text = output()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_what_nothing_owns_is_listed(tmp_path: Path, output: Output) -> None:
    layer = tmp_path / "storage" / "layers" / "ghost"
    layer.mkdir(parents=True)
    assert run(["doctor", "--leaks"]) == 1
    assert f"layer: {layer}" in output()
    assert run(["doctor", "--leaks", "-o", "json"]) == 1
    assert str(layer) in {leak["path"] for leak in msgspec.json.decode(output())}


@pytest.mark.root
def test_a_container_that_ended_leaves_nothing_to_list(tmp_path: Path, output: Output) -> None:
    run(["run", "--", "true"])
    output()
    run(["doctor", "--leaks", "-o", "json"])
    found = msgspec.json.decode(output())
    assert [leak for leak in found if leak["path"].startswith(str(tmp_path))] == []


def on_a_terminal(*arguments: str, **settings: str) -> str:
    """Return what nestbox prints to a terminal."""
    master, slave = os.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", CALL, *arguments],
            env={"PATH": os.environ["PATH"], "TERM": "xterm", "PYTHONPATH": PACKAGE, **settings},
            stdout=slave,
        ) as process:
            os.close(slave)
            slave = -1
            parts = []
            while True:
                try:
                    part = os.read(master, 65536)
                except OSError:  # EIO: nobody has the other end open
                    break
                parts.append(part)
        assert process.returncode in {0, 1}
        return b"".join(parts).decode()
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)


def test_colour_is_for_terminals_and_can_be_refused() -> None:
    arguments = ("doctor", "--environment", str(RECORDINGS / "docker-default.json"))
    assert "\x1b[31mmissing" in on_a_terminal(*arguments)
    assert "\x1b" not in on_a_terminal(*arguments, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(*arguments, TERM="dumb")


# Doctor asks nft(8) what a network could be made with; no launch of the shipped profiles does.
_ASKS_PROGRAMS = {"subprocess"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [(("doctor",), _ASKS_PROGRAMS), (("caps",), set()), (("explain",), set())],
    ids=["doctor", "caps", "explain"],
)
def test_the_command_loads_none_of_the_heavy_libraries(
    arguments: tuple[str, ...], allowed: set[str], tmp_path: Path
) -> None:
    listing = (
        f"import sys; sys.path[:0] = [{PACKAGE!r}]; from nestbox.cli.main import run; "
        "run(sys.argv[1:]); heavy = {'yaml', 'rich', 'docker', 'subprocess'}; "
        "print(*sorted(heavy & {*sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", listing, *arguments],
        env={**os.environ, "NESTBOX_ROOT": str(tmp_path), "NESTBOX_STORAGE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert set(done.stderr.split()) <= allowed
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.root
@pytest.mark.skipif(shutil.which("capsh") is None, reason="capsh of libcap2-bin is not installed")
def test_what_capsh_drops_is_named_with_the_process_that_lost_it(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "NESTBOX_STORAGE": str(tmp_path)}
    done = subprocess.run(
        [
            "capsh",
            "--drop=cap_sys_boot,cap_sys_module",
            "--",
            "-c",
            f"{sys.executable} -c '{CALL}' doctor -o json; exit $?",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    report = msgspec.json.decode(done.stdout, type=Report)
    lost = [check for check in report.checks if "CAP_SYS_BOOT" in check.subject]
    assert [check.subject for check in lost] == ["CAP_SYS_MODULE, CAP_SYS_BOOT"]
    assert "(bash)" in lost[0].lost_at or "(sh)" in lost[0].lost_at
    assert "not in the outer bounding set" in lost[0].cause
    assert lost[0].affects == ("--privileged",)
    assert lost[0].remedy


@pytest.mark.root
def test_a_user_without_rights_is_told_and_not_failed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [*another_user(), sys.executable, "-c", CALL, "doctor", "-o", "json"],
        env={**os.environ, "PYTHONPATH": PACKAGE, "NESTBOX_STORAGE": "/nonexistent/storage"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    report = msgspec.json.decode(done.stdout, type=Report)
    assert report.summary[0].endswith("all missing")


def test_a_closed_pipe_is_no_defect() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CALL, "doctor", "--environment", str(RECORDINGS / "host.json")],
        env={**os.environ, "PYTHONPATH": PACKAGE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
    assert told == b""
