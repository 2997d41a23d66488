"""`-t`: a terminal of the container's own, the caller's in raw mode meanwhile and restored."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")

SECONDS = 30


class Caller:
    """A person at a terminal: nestbox runs on the one end, this is the other."""

    def __init__(self, nestbox, image, *words, rows=33, columns=101):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        root = ("--rootfs", str(image))
        self.process = subprocess.Popen(
            # It becomes the session's terminal, as it is for a person.
            ["setsid", "--ctty", *nestbox.arguments("-it", *root, "--", *words)],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=nestbox.environment(),
        )

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text)

    def read_until(self, pattern):
        """Read what the terminal shows until it matches."""
        while not (found := re.search(pattern, self.seen)):
            assert select.select([self.master], [], [], SECONDS)[0], self.seen
            self.seen += os.read(self.master, 65536)
        self.seen = self.seen[found.end() :]
        return found

    def end(self):
        """Wait for the command; return its exit code and what was shown last."""
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.01)[0]:
                self.seen += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return self.process.returncode, self.seen

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def caller(nestbox, image):
    """Return a function that runs a command with a terminal."""
    callers = []

    def call(*words, **options):
        callers.append(Caller(nestbox, image, *words, **options))
        return callers[-1]

    yield call
    for one in callers:
        one.close()


def test_all_three_streams_are_a_terminal_with_the_size_of_the_callers(caller):
    code, shown = caller("probe", "terminal").end()
    lines = shown.decode().replace("\r", "").splitlines()
    assert code == 0
    assert {"isatty0 1", "isatty1 1", "isatty2 1", "rows 33", "columns 101"} <= set(lines)


def test_it_is_not_the_callers_terminal(caller):
    person = caller("sh", "-c", "tty; echo ready; read line")
    name = person.read_until(rb"(/dev/\S+)").group(1)
    person.read_until(b"ready")
    outer = os.ttyname(person.slave)
    inode = os.stat(outer)
    inner = os.stat(f"/proc/{first_process(person)}/root{name.decode()}")
    assert (inner.st_dev, inner.st_ino) != (inode.st_dev, inode.st_ino)
    person.type(b"\n")
    person.end()


def first_process(person):
    path = f"/proc/{person.process.pid}/task/{person.process.pid}/children"
    with open(path, encoding="ascii") as children:
        return children.read().split()[0]


def test_a_new_size_reaches_the_program(caller):
    person = caller(
        "sh",
        "-c",
        "trap 'stty size' WINCH; trap 'exit 130' INT; echo ready; while :; do sleep 0.05; done",
    )
    person.read_until(b"ready")
    person.resize(44, 55)
    person.read_until(b"44 55")
    person.type(b"\x03")
    assert person.end()[0] == 130


def test_the_callers_terminal_is_raw_meanwhile_and_restored_afterwards(caller):
    person = caller("sh", "-c", "echo ready; read line")
    person.read_until(b"ready")
    assert not termios.tcgetattr(person.slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    person.type(b"\n")
    person.end()
    assert termios.tcgetattr(person.slave) == person.before


def test_the_terminal_is_restored_when_the_container_is_killed(caller):
    person = caller("sh", "-c", "echo ready; kill -9 -1; read line")
    person.read_until(b"ready")
    person.process.send_signal(signal.SIGTERM)
    person.type(b"\n")
    person.end()
    assert termios.tcgetattr(person.slave) == person.before


def test_the_terminal_is_restored_after_a_refusal(caller):
    person = caller("/no/such/program")
    assert person.end()[0] == 127
    assert termios.tcgetattr(person.slave) == person.before


def test_control_c_reaches_the_program_and_not_nestbox(caller):
    person = caller(
        "sh", "-c", "trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.05; done"
    )
    person.read_until(b"ready")
    person.type(b"\x03")
    person.read_until(b"interrupted")
    assert person.end()[0] == 6


def test_what_is_typed_arrives(caller):
    person = caller("sh", "-c", "read line; echo got $line")
    person.type(b"hello\n")
    person.read_until(b"got hello")
    assert person.end()[0] == 0


def test_output_written_just_before_the_end_is_complete(caller):
    script = "i=0; while [ $i -lt 2000 ]; do echo line$i; i=$((i+1)); done"
    code, shown = caller("sh", "-c", script).end()
    assert code == 0
    assert shown.decode().split() == [f"line{number}" for number in range(2000)]


def test_the_container_cannot_push_input_into_the_callers_terminal(caller):
    person = caller("probe", "push")
    person.end()
    assert not select.select([person.slave], [], [], 0)[0]


def test_a_program_of_another_user_owns_its_terminal(caller, nestbox, image):
    person = Caller(nestbox, image, "true")
    person.end()
    person.close()
    person = caller("stat", "-c", "%u", "/dev/console")
    _, shown = person.end()
    assert shown.strip() == b"0"


def test_without_a_terminal_of_the_caller_t_still_gives_one(nestbox, image):
    done = nestbox.run("-t", "--rootfs", str(image), "--", "probe", "terminal")
    assert done.exit_code in {0, 125}
    if done.exit_code == 0:
        assert "isatty0 1" in done.stdout
    else:
        assert "terminal" in done.stderr
