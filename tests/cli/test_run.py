"""`nestbox run` as a program: what it passes on, and what becomes of its exit code."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from typing import TYPE_CHECKING

import msgspec
import pytest

from nestbox.runtime.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["--", "true"], 0),
        (["--", "sh", "-c", "exit 7"], 7),
        (["--init", "--", "sh", "-c", "kill -TERM $$"], 143),
        (["--init", "--", "sh", "-c", "kill -KILL $$"], 137),
        (["--", "/etc/passwd"], 126),
        (["--", "no-such-program"], 127),
    ],
)
def test_the_exit_code_is_that_of_the_program(
    nestbox: Program, command: list[str], code: int
) -> None:
    assert nestbox("run", *command).returncode == code
    assert nestbox.left_behind() == []


def test_each_stream_stays_what_it_is(nestbox: Program) -> None:
    done = nestbox("run", "-i", "sh", "-c", "cat; echo problem >&2", input="text\n")
    assert (done.stdout, done.stderr) == ("text\n", "problem\n")


def test_without_i_the_program_reads_nothing(nestbox: Program) -> None:
    assert nestbox("run", "cat", input="text\n").stdout == ""


def test_the_present_directory_is_that_of_the_program_and_stays_as_it_is(nestbox: Program) -> None:
    (nestbox.directory / "file").write_text("before")
    done = nestbox("run", "sh", "-c", "pwd; cat file; echo after > file; echo > other; cat file")
    assert done.stdout == f"{nestbox.directory}\nbeforeafter\n"
    assert (nestbox.directory / "file").read_text() == "before"
    assert [path.name for path in nestbox.directory.iterdir()] == ["file"]


def test_variables_come_from_file_flag_and_caller(nestbox: Program) -> None:
    (nestbox.directory / "env").write_text("A=file\nB=file value \nSECRET\n")
    nestbox.environment |= {"SECRET": "42", "HIDDEN": "43"}
    done = nestbox("run", "--env-file", "env", "-e", "A=flag", "env")
    lines = done.stdout.splitlines()
    assert {"A=flag", "B=file value ", "SECRET=42"} <= {*lines}
    assert not any(line.startswith("HIDDEN") for line in lines)
    assert len([line for line in lines if line.startswith("A=")]) == 1


def test_ten_thousand_arguments_arrive(nestbox: Program) -> None:
    words = [str(number) for number in range(10_000)]
    done = nestbox("run", "sh", "-c", 'echo $# "$10000"', "sh", *words)
    assert done.stdout.split()[0] == "10000"
    assert done.returncode == 0


def test_newlines_and_bytes_that_are_no_text_arrive_as_they_are(nestbox: Program) -> None:
    strange = os.fsdecode(b"a\n\xff\x1b[2J")
    done = nestbox("run", "-e", f"V={strange}", "sh", "-c", 'printf %s "$1$V"', "sh", strange,
                   text=False)  # fmt: skip
    assert done.stdout == b"a\n\xff\x1b[2J" * 2
    assert done.returncode == 0


def test_no_descriptor_of_the_command_reaches_the_program(nestbox: Program) -> None:
    done = nestbox("run", "--provenance", "record", "sh", "-c", "ls /proc/$$/fd")
    assert done.stdout.split() == ["0", "1", "2"]


def test_what_is_implied_and_absent_is_one_line_and_error_level_silences_it(
    nestbox: Program,
) -> None:
    dropping = ["capsh", "--drop=cap_sys_boot", "--", "-c"]
    command = f"exec {nestbox.command} run --log-level"
    for level, lines in (("warning", 1), ("error", 0)):
        done = subprocess.run(
            [*dropping, f"{command} {level} --privileged -- true"],
            capture_output=True, text=True, env=nestbox.environment, cwd=nestbox.directory,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        assert done.stderr.count("CAP_SYS_BOOT") == lines


def test_log_level_info_tells_how_long_each_phase_took(nestbox: Program) -> None:
    done = nestbox("run", "--log-level", "info", "--name", "box", "true")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("nestbox: box ended with 0 (resolve ")
    assert " ms" in last


def records(text: str) -> list[Record]:
    return [msgspec.json.decode(line, type=Record) for line in text.splitlines()]


def test_provenance_appends_one_line_for_each_launch(nestbox: Program) -> None:
    for name in ("one", "two"):
        assert nestbox("run", "--provenance", "log", "--name", name, "true").returncode == 0
    text = (nestbox.directory / "log").read_text()
    assert [(record.id, record.exit_code) for record in records(text)] == [("one", 0), ("two", 0)]


def test_provenance_has_the_names_of_variables_and_not_their_values(nestbox: Program) -> None:
    nestbox("run", "--provenance", "log", "-e", "TOKEN=very-secret", "true")
    text = (nestbox.directory / "log").read_text()
    assert "TOKEN" in text
    assert "very-secret" not in text


def test_provenance_on_standard_output_comes_after_the_program(nestbox: Program) -> None:
    done = nestbox("run", "--provenance", "-", "echo", "hello")
    first, line = done.stdout.splitlines()
    assert first == "hello"
    assert records(line)[0].exit_code == 0


def test_provenance_is_written_for_a_launch_that_failed(nestbox: Program) -> None:
    for _ in range(2):
        assert nestbox("run", "--provenance", "log", "--name", "x", "nothing").returncode == 127
    failed = records((nestbox.directory / "log").read_text())
    assert len(failed) == 2
    assert "nothing" in failed[0].error


def test_a_refused_launch_has_no_record(nestbox: Program) -> None:
    assert nestbox("run", "--provenance", "log", "--name", "x", "true").returncode == 0
    done = nestbox("run", "--provenance", "log", "--name", "x", "-w", "relative", "true")
    assert done.returncode == 125
    assert len(records((nestbox.directory / "log").read_text())) == 1


def test_what_a_killed_nestbox_leaves_the_next_launch_removes(nestbox: Program) -> None:
    with subprocess.Popen(
        [str(nestbox.command), "run", "sh", "-c", "echo ready; exec sleep 60"],
        stdout=subprocess.PIPE, env=nestbox.environment, cwd=nestbox.directory,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
    assert nestbox("run", "true").returncode == 0
    assert nestbox.left_behind() == []


def test_a_terminal_is_passed_on(nestbox: Program) -> None:
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(nestbox.command), "run", "-it", "sh", "-c", "tty; read x; echo got $x; exit 4"],
            stdin=slave, stdout=slave, stderr=slave, env=nestbox.environment,
            cwd=nestbox.directory,
        )  # fmt: skip
        text = b""
        while b"/dev/" not in text or b"\n" not in text:
            text += os.read(master, 4096)
        os.write(master, b"word\n")
        while b"got word" not in text:
            text += os.read(master, 4096)
        assert process.wait(30) == 4
    finally:
        os.close(slave)
        os.close(master)


def test_keys_without_a_keyboard_are_refused_as_docker_does(nestbox: Program) -> None:
    done = nestbox("run", "-it", "sh")
    assert done.returncode == 125
    assert "the input device is not a TTY" in done.stderr


def test_output_of_a_terminal_is_to_be_had_without_a_keyboard(nestbox: Program) -> None:
    done = nestbox("run", "-t", "sh", "-c", "test -t 1 && echo yes", text=False)
    assert done.stdout == b"yes\r\n"


def test_state_is_kept_where_root_says(nestbox: Program, tmp_path: Path) -> None:
    assert nestbox("run", "--root", "elsewhere", "--name", "x", "true").returncode == 0
    assert (nestbox.directory / "elsewhere" / "@records" / "x.json").exists()
    assert not (tmp_path / "state").exists()
