"""The conversation with CRIU, with programs that answer as CRIU may."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from nestbox.errors import LaunchError
from nestbox.runtime.oci.criu import Service, problem, require_feature, version
from nestbox.runtime.oci.criu_log import around_errors, with_log
from nestbox.runtime.oci.criu_messages import DUMP, FEATURE_CHECK, NOTIFY, PRE_DUMP, VERSION

HEAD = f"""#!{sys.executable}
import socket, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from nestbox.runtime.oci.criu_messages import decode, encode
if sys.argv[1:] == ["check"]:
    print("Looks good.")
    sys.exit()
assert sys.argv[1] == "swrk"
peer = socket.socket(fileno=int(sys.argv[2]))
request = decode("request", peer.recv(65536))
def answer(**members):
    peer.send(encode("response", {{"type": request["type"], "success": True}} | members))
def notify(script, pid=0, fd=None):
    data = encode("response", {{
        "type": {NOTIFY}, "success": True, "notify": {{"script": script, "pid": pid}}
    }})
    socket.send_fds(peer, [data], [] if fd is None else [fd])
    return decode("request", peer.recv(65536))["notify_success"]
"""


@pytest.fixture(name="answers")
def _answers(tmp_path: Path) -> Any:
    """Return a function that makes a program which answers by a script."""

    def make(script: str) -> str:
        path = tmp_path / "criu"
        path.write_text(HEAD + script)
        path.chmod(0o755)
        return str(path)

    return make


def ask(program: str, notified: Any = None, kind: int = DUMP) -> dict[str, Any]:
    service = Service(program)
    try:
        request = {"type": kind, "opts": {"images_dir_fd": 7}}
        return service.ask(request, *([] if notified is None else [notified]))
    finally:
        service.stop()


def test_the_version_is_one_number(answers: Any) -> None:
    members = '{"major_number": 4, "minor_number": 1, "sublevel": 2}'
    assert version(answers(f"answer(version={members})")) == 40102


@pytest.mark.parametrize("members", ['{"major_number": 2, "minor_number": 12}', "{}"])
def test_a_version_that_is_too_old_is_refused(answers: Any, members: str) -> None:
    with pytest.raises(LaunchError, match="must be 30000 or higher"):
        version(answers(f"answer(version={members})"))


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="CRIU version check failed: cannot start CRIU"):
        version(str(tmp_path / "nothing"))
    assert "no such file" in problem(str(tmp_path / "nothing"))


def test_a_program_that_dies_is_no_answer(answers: Any) -> None:
    for script in ("", "sys.exit(3)", "peer.send(b'\\xff')"):
        with pytest.raises(LaunchError, match="criu failed: type DUMP"):
            ask(answers(script))


def test_a_refusal_has_the_cause_that_criu_gives(answers: Any) -> None:
    with pytest.raises(LaunchError, match="type DUMP errno 2: no such file or directory"):
        ask(answers("answer(success=False, cr_errno=2)"))
    with pytest.raises(LaunchError, match="errno 1: some words"):
        ask(answers("answer(success=False, cr_errno=1, cr_errmsg='some words')"))


def test_notifications_come_before_the_answer(answers: Any) -> None:
    heard: list[tuple[str, int, bool]] = []

    def notified(script: str, pid: int, fd: int) -> None:
        heard.append((script, pid, fd >= 0 and os.path.sameopenfile(fd, received)))
        if fd >= 0:
            os.close(fd)

    program = answers(
        "null = open('/dev/full')\n"
        "assert notify('setup-namespaces', 42)\n"
        "assert notify('orphan-pts-master', 0, null.fileno())\n"
        "answer()"
    )
    with open("/dev/full", "rb") as full:
        received = full.fileno()
        assert ask(program, notified)["success"]
    assert heard == [("setup-namespaces", 42, False), ("orphan-pts-master", 0, True)]


def test_what_fails_at_a_notification_stops_criu(answers: Any) -> None:
    def notified(script: str, pid: int, fd: int) -> None:
        raise LaunchError("a hook failed", cause="so", remedy="none")

    with pytest.raises(LaunchError, match="a hook failed"):
        ask(answers("answer(success=notify('post-restore', 1))"), notified)


def test_the_end_of_criu_counts_but_after_a_pre_dump(answers: Any) -> None:
    program = answers("answer()\nsys.exit(1)")
    service = Service(program)
    service.ask({"type": DUMP})
    with pytest.raises(LaunchError, match="ended with status 1"):
        service.finish(DUMP)
    service = Service(program)
    service.ask({"type": PRE_DUMP})
    service.finish(PRE_DUMP)


def test_a_feature_has_to_be_there(answers: Any) -> None:
    require_feature(answers("answer(features={'mem_track': True})"), "mem_track")
    for script in ("answer(features={'mem_track': False})", "answer()"):
        with pytest.raises(LaunchError, match="criu is missing features: lazy_pages"):
            require_feature(answers(script), "lazy_pages")


def test_only_what_is_handed_over_is_inherited(answers: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        program = answers(
            "import os\n"
            "found = {os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')\n"
            "         if os.path.exists(f'/proc/self/fd/{fd}')}\n"
            "answer(cr_errmsg=' '.join(sorted(found)))"
        )
        name = os.readlink(f"/proc/self/fd/{theirs.fileno()}")
        service = Service(program, inherited=[theirs.fileno()])
        told = service.ask({"type": VERSION})["cr_errmsg"]
        service.stop()
        assert name in told
        assert os.readlink(f"/proc/self/fd/{ours.fileno()}") not in told


def test_a_working_criu_has_no_problem(answers: Any) -> None:
    assert problem(answers('answer(version={"major_number": 4})')) == ""


class Messages:
    """A log that is only read."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    info = debug = warning


def test_lines_before_an_error_are_quoted_once() -> None:
    lines = [f"line {number}" for number in range(1, 31)]
    lines[8] = "(0.1) Error (criu/a.c:1): first"
    lines[10] = "(0.2) Error (criu/b.c:2): second"
    lines[24] = "(0.3) Error (criu/c.c:3): third"
    assert around_errors("\n".join(lines)) == [
        *(f"{number}:{lines[number - 1]}" for number in range(4, 12)),
        "...",
        *(f"{number}:{lines[number - 1]}" for number in range(20, 26)),
    ]
    assert around_errors("no word of it") == []


def test_the_last_error_in_the_log_becomes_the_cause(tmp_path: Path) -> None:
    log = Messages()
    path = tmp_path / "dump.log"
    path.write_text("(0.1) one\n(0.2) Error (criu/mount.c:9): mnt: No mapping for 7\n")
    failed = LaunchError("criu failed: type DUMP errno 0", cause="see its log", remedy="x")
    told = with_log(failed, str(path), log)
    assert (told.cause, told.remedy) == ("mnt: No mapping for 7", f"see {path}")
    assert log.warnings[0] == f"--- Quoting {str(path)!r}"
    other = LaunchError("a hook failed", cause="so", remedy="none")
    assert with_log(other, str(path), log) is other
    assert with_log(failed, str(tmp_path / "nothing"), log) is failed


def test_a_criu_that_is_too_old_for_the_kernel_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dump.log"
    path.write_text("Error (criu/kerndat.c:1): vdso failed when initializing kerndat.\n")
    failed = LaunchError("criu failed: type DUMP errno 0", cause="see its log", remedy="x")
    told = with_log(failed, str(path), Messages())
    assert "this CRIU does not work on this kernel" in told.cause
    assert "newer CRIU" in told.remedy


def test_an_answer_of_another_kind_than_the_request_is_still_one(answers: Any) -> None:
    # Older ones answer a refused request with the type EMPTY.
    with pytest.raises(LaunchError, match="type 0 errno 0"):
        ask(answers("request['type'] = 0\nanswer(success=False)"), kind=FEATURE_CHECK)
