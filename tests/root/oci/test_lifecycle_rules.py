"""What the public suites demand of create, start and hooks, where runtimes differ."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.root.oci.bundle import Bundle
from tests.root.oci.driver import Oci


def _status_hook(directory: Path, kind: str) -> list[dict[str, object]]:
    """Return a hook that keeps the state which it is handed."""
    return [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {directory}/{kind}"]}]


def test_each_hook_is_told_the_state_at_its_point(oci: Oci, bundle: Bundle, tmp_path: Path) -> None:
    expected = {
        "prestart": "created",
        "createRuntime": "creating",
        "poststart": "running",
        "poststop": "stopped",
    }
    bundle.config["hooks"] = {kind: _status_hook(tmp_path, kind) for kind in expected}
    name = oci.create(bundle.args("true"))
    pid = oci.state(name)["pid"]
    oci.start(name)
    oci.wait(name)
    oci.ok("delete", name)
    told = {kind: json.loads((tmp_path / kind).read_text()) for kind in expected}
    assert {kind: state["status"] for kind, state in told.items()} == expected
    # Also where the program has ended before the hook runs.
    assert [told[kind]["pid"] for kind in ("prestart", "createRuntime", "poststart")] == [pid] * 3


def test_without_a_process_start_ends_the_container(oci: Oci, bundle: Bundle) -> None:
    del bundle.config["process"]
    name = oci.create(bundle)
    assert oci.status(name) == "created"
    oci.start(name)
    assert oci.status(name) == "stopped"
    assert "no process" in " ".join(oci.messages("warning"))
    oci.ok("delete", name)


def test_a_bind_mount_with_options_of_a_file_system_is_made_and_told(
    oci: Oci, bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    bundle.config["mounts"].append(
        {
            "destination": "/mnt",
            "source": str(tmp_path / "source"),
            "options": ["bind", "mode=755", "size=1k", "nosuid"],
        }
    )
    done = oci.run(bundle.shell("grep ' /mnt ' /proc/self/mountinfo"))
    assert "nosuid" in done.stdout
    assert "mode=755" in " ".join(oci.messages("warning"))


@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor is all there is")
def test_a_caller_bound_to_one_processor_does_not_bind_the_container(
    oci: Oci, bundle: Bundle
) -> None:
    every = sorted(os.sched_getaffinity(0))
    bound = oci_bound_to(oci, every[0])
    done = bound.run(bundle.shell("grep Cpus_allowed_list /proc/self/status"))
    assert done.stdout.split() == ["Cpus_allowed_list:", _as_list(every)]


def test_a_program_that_cannot_be_executed_is_one_line_to_who_waits(
    oci: Oci, bundle: Bundle
) -> None:
    script = bundle.rootfs / "run.sh"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    done = oci.run(bundle.args("/run.sh"))
    assert done.exit_code != 0
    assert done.stderr == "exec /run.sh: no such file or directory\n"
    assert "interpreter" in " ".join(oci.messages("error"))


def test_debug_tells_the_stages_of_a_launch(oci: Oci, bundle: Bundle) -> None:
    oci.flags = ("--debug",)
    oci.run(bundle.args("true"))
    told = " ".join(oci.messages("debug"))
    assert "nsexec container setup" in told
    assert "child process in init()" in told
    assert "init: closing the pipe to signal completion" in told


def oci_bound_to(oci: Oci, processor: int) -> Oci:
    """Return the runtime as a program that binds itself to one processor first."""
    oci.directory.mkdir(parents=True, exist_ok=True)
    program = oci.directory / "nestbox-runtime"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"os.sched_setaffinity(0, [{processor}])\n"
        f"os.execv({oci.command!r}, [{oci.command!r}, *sys.argv[1:]])\n"
    )
    program.chmod(0o755)
    return Oci(command=str(program), directory=oci.directory, prefix=oci.prefix)


def _as_list(numbers: list[int]) -> str:
    """Return numbers as the kernel lists them: ``0-3,8``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, each)) for each in ranges)
