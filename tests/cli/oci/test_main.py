"""What an engine relies on whatever the command: usage, version, exit codes, the log."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from nestbox.cli.oci.main import COMMANDS
from nestbox.runtime.oci.state import State
from nestbox.version import VERSION


def test_the_version_has_runcs_form(runtime) -> None:
    for word in ("--version", "-v"):
        done = runtime(word)
        first, commit, spec = done.stdout.splitlines()
        assert first == f"nestbox-runtime version {VERSION}"
        assert commit.startswith("commit: ")
        assert spec == "spec: 1.3.0"
        assert done.returncode == 0


def test_by_another_name_it_says_that_name(runtime, tmp_path) -> None:
    """Some callers only take a runtime whose version begins with the name they know."""
    link = tmp_path / "runc"
    link.symlink_to(runtime.command)
    done = subprocess.run([link, "-v"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"runc version {VERSION}\n")


@pytest.mark.parametrize("word", ["-h", "--help", "help", "h"])
def test_the_help_lists_every_command(runtime, word) -> None:
    done = runtime(word)
    assert done.returncode == 0
    assert done.stdout.startswith("NAME:\n   nestbox-runtime - Open Container Initiative runtime\n")
    listed = done.stdout.partition("COMMANDS:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines()] == [*COMMANDS, "help,"]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(runtime, name) -> None:
    done = runtime(name, "--help")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:2] == [
        "NAME:",
        f"   nestbox-runtime {name} - {COMMANDS[name]}",
    ]
    assert runtime("help", name).stdout == done.stdout
    assert "--help, -h" in done.stdout


def test_an_unknown_command(runtime) -> None:
    done = runtime("nonsense", "-h")
    assert done.returncode == 3
    assert "No help topic for 'nonsense'" in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--nonsense", "list"), "flag provided but not defined: -nonsense"),
        (("state", "--nonsense", "x"), "flag provided but not defined: -nonsense"),
        (("state",), '"state" requires exactly 1 argument(s)'),
        (("state", "a", "b"), '"state" requires exactly 1 argument(s)'),
        (("list", "a"), '"list" requires exactly 0 argument(s)'),
        (("kill",), '"kill" requires a minimum of 1 argument(s)'),
        (("kill", "a", "b", "c"), '"kill" requires a maximum of 2 argument(s)'),
        (("exec",), '"exec" requires a minimum of 1 argument(s)'),
    ],
)
def test_misuse_shows_the_usage_and_fails(runtime, words, problem) -> None:
    done = runtime(*words)
    assert done.returncode == 1
    assert done.stdout.startswith("Incorrect Usage")
    assert "USAGE:" in done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert problem in done.stderr.replace('\\"', '"')


def test_options_may_follow_the_arguments(runtime) -> None:
    assert runtime.rooted("delete", "nobody", "-f").returncode == 0


def test_a_failure_is_one_line_on_standard_error(runtime) -> None:
    done = runtime.rooted("state", "nobody")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith('time="')
    assert ' level=error msg="' in line
    assert "does not exist" in line


def test_with_a_log_standard_error_has_the_plain_message(runtime) -> None:
    done = runtime.rooted("--log", "log", "--log-format", "json", "state", "nobody")
    entry = json.loads(runtime.log.read_text())
    assert done.stderr == entry["msg"] + "\n"
    assert list(entry) == ["level", "msg", "time"]
    assert entry["level"] == "error"
    written = time.strptime(entry["time"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.mktime(time.gmtime()) - time.mktime(written)) < 60


def test_the_log_is_added_to(runtime) -> None:
    runtime.log.write_text("before\n")
    runtime.rooted("--log", "log", "state", "nobody")
    runtime.rooted("--log=file:log", "state", "nobody")
    lines = runtime.log.read_text().splitlines()
    assert lines[0] == "before"
    assert len(lines) == 3


def test_a_log_that_is_standard_error_gets_the_message_once(runtime) -> None:
    done = runtime.rooted("--log", "/dev/stderr", "state", "nobody")
    assert done.stderr.count("does not exist") == 1


def test_a_log_that_cannot_be_opened(runtime) -> None:
    done = runtime.rooted("--log", "/nonexistent/log", "state", "nobody")
    assert done.returncode == 1
    assert "open /nonexistent/log: no such file or directory" in done.stderr


def test_what_is_hostile_to_a_terminal_is_escaped(runtime) -> None:
    done = runtime.rooted("--log", "log", "state", "\033[2J\nlevel=info")
    assert "\033" not in done.stderr + runtime.log.read_text()
    assert len(runtime.log.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--root", "/"), "Option --root argument should not be set to /"),
        (("--log-format", "xml"), "invalid log-format: xml"),
        (("--cgroup-manager", "other"), "invalid cgroup-manager: other"),
        (("--rootless", "perhaps"), "invalid value for --rootless: perhaps"),
        (("--debug=perhaps",), 'invalid boolean value "perhaps" for -debug: parse error'),
    ],
)
def test_bad_global_options(runtime, words, problem) -> None:
    done = runtime(*words, "list")
    assert done.returncode == 1
    assert problem in done.stderr.replace('\\"', '"')


@pytest.mark.parametrize("container", ["..", ".", "a/b", "", "a b", "ä", "x" * 2000])
def test_ids_that_could_lead_elsewhere(runtime, container) -> None:
    for command in ("state", "kill", "delete", "pause"):
        done = runtime.rooted(command, container)
        assert done.returncode == 1
        assert "invalid container ID format" in done.stderr, command


def test_a_root_that_does_not_exist(runtime) -> None:
    done = runtime("--root", "/nonexistent", "list")
    assert done.returncode == 1
    assert "open /nonexistent: no such file or directory" in done.stderr


def test_formats_that_do_not_exist(runtime) -> None:
    done = runtime.rooted("list", "--format", "xml")
    assert done.returncode == 1
    assert "invalid format option" in done.stderr


def test_exec_fails_with_a_status_of_its_own(runtime) -> None:
    done = runtime.rooted("exec", "nobody", "true")
    assert done.returncode == 255
    assert "exec failed: " in done.stderr


def test_closed_standard_streams_are_no_danger(runtime) -> None:
    script = f'"{runtime.command}" --root "{runtime.base}" list <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0


def test_output_that_cannot_be_written_is_a_failure(runtime) -> None:
    with open("/dev/full", "w") as full:
        done = runtime.rooted("list", stdout=full)
    assert done.returncode == 1
    assert "no space left on device" in done.stderr.lower()


def test_a_reader_that_has_gone_is_told_of_quietly(runtime) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = runtime("features", stdout=writing)
    os.close(writing)
    assert done.returncode in {1, 141}
    assert "Traceback" not in done.stderr


def test_variables_and_packages_of_the_caller_do_not_reach_it(runtime, tmp_path) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / "_json.py").write_text("raise SystemExit(99)")
    (hostile / "nestbox.py").write_text("raise SystemExit(98)")
    (hostile / "sitecustomize.py").write_text("raise SystemExit(97)")
    environment = runtime.environment | {"PYTHONPATH": str(hostile), "PYTHONSTARTUP": "/x"}
    assert runtime("-v", env=environment, cwd=hostile).returncode == 0
    # As pip installs it, without -I in the first line, so that only its own start-up is not ours.
    (hostile / "sitecustomize.py").unlink()
    text = runtime.command.read_text()
    runtime.command.write_text(text.replace(" -I\n", "\n", 1))
    assert runtime("-v", env=environment, cwd=hostile).returncode == 0
    (tmp_path / "nestbox.py").write_text("raise SystemExit(96)")  # beside the script
    assert runtime("-v").returncode == 0


def test_features_is_a_document_of_the_specification(runtime) -> None:
    document = json.loads(runtime("features").stdout)
    assert document["ociVersionMax"] == "1.3.0"
    assert "host" not in document


def test_features_of_the_host(runtime) -> None:
    host = json.loads(runtime("features", "--host").stdout)["host"]
    names = host["available"] + host["regainable"] + host["missing"]
    assert len(names) == len(set(names)) == host["environment"]["capabilities"]["last"] + 1
    assert len(host["fingerprint"]) == 32


def test_spec_makes_a_configuration_once(runtime) -> None:
    assert runtime("spec").returncode == 0
    first = (runtime.base / "config.json").read_text()
    done = runtime("spec")
    assert done.returncode == 1
    assert "File config.json exists. Remove it first" in done.stderr
    assert (runtime.base / "config.json").read_text() == first


def test_spec_for_a_user_without_rights(runtime) -> None:
    (runtime.base / "here").mkdir()
    assert runtime("spec", "--rootless", "--bundle", "here").returncode == 0
    config = json.loads((runtime.base / "here" / "config.json").read_text())
    (mapping,) = config["linux"]["uidMappings"]
    assert mapping == {"containerID": 0, "hostID": os.geteuid(), "size": 1}


def test_names_that_are_no_text_are_passed_on(runtime) -> None:
    bundle = b"/b\xff\xc3\xa4\033"
    (runtime.root / "x").mkdir(parents=True)
    members = {name: "" for name in State.__slots__} | {
        "annotations": {}, "bundle": os.fsdecode(bundle), "cgroup": {"version": 0}, "id": "x",
    }  # fmt: skip
    (runtime.root / "x" / "container.json").write_bytes(State(**members).to_json())
    environment = runtime.environment | {"LC_ALL": "C.UTF-8"}
    done = runtime.rooted("list", text=False, env=environment)
    assert done.returncode == 0
    assert rb"/b\udcff" in done.stdout
    assert b"\xc3\xa4" in done.stdout
    assert b"\033" not in done.stdout
