"""Standard streams: input only when asked for, its end, much output, and no other descriptor."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.root.driver import end

pytestmark = pytest.mark.usefixtures("nothing_left")

MUCH = 10 << 20


@pytest.fixture
def launch(nestbox, image):
    """Return a function that runs a command in the small root."""

    def run(*command, flags=(), **options):
        return nestbox.run(*flags, "--rootfs", str(image), "--", *command, **options)

    return run


def test_with_i_the_container_reads_to_the_end_of_input(launch):
    done = launch("cat", flags=("-i",), input=b"one\ntwo\n")
    assert (done.exit_code, done.stdout) == (0, "one\ntwo\n")


def test_without_i_input_is_empty(launch):
    done = launch("cat", input=b"not for you")
    assert (done.exit_code, done.stdout) == (0, "")


def test_much_input_arrives_whole(launch):
    done = launch("wc", "-c", flags=("-i",), input=b"x" * MUCH)
    assert done.stdout.strip() == str(MUCH)


def test_input_that_nobody_reads_blocks_nothing(launch):
    done = launch("true", flags=("-i",), input=b"x" * MUCH)
    assert done.exit_code == 0


def test_much_output_on_both_streams_arrives_whole(launch):
    script = (
        f"dd if=/dev/zero bs=1048576 count={MUCH >> 20} 2>/dev/null &"
        f"dd if=/dev/zero bs=1048576 count={MUCH >> 20} >&2 2>/dev/null; wait"
    )
    done = launch("sh", "-c", script)
    assert done.exit_code == 0
    assert (len(done.stdout), len(done.stderr)) == (MUCH, MUCH)


def test_output_and_error_are_kept_apart(launch):
    done = launch("sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_a_closed_reader_ends_the_writer(nestbox, image):
    words = nestbox.arguments("--rootfs", str(image), "--", "sh", "-c", "while echo y; do :; done")
    pipeline = subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *words],
        capture_output=True,
        timeout=60,
        check=False,
        env=nestbox.environment(),
    )
    assert pipeline.stdout == b"y\n"
    assert b"Traceback" not in pipeline.stderr


@pytest.mark.parametrize("flags", [(), ("-i",), ("--init",), ("--privileged",)])
def test_no_descriptor_above_two_is_inherited(nestbox, image, flags):
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        words = (*flags, "--rootfs", str(image), "--", "probe", "descriptors")
        done = end(nestbox.start(*words, pass_fds=(write,)))
    finally:
        os.close(read)
        os.close(write)
    assert done.facts["descriptors"] == "0,1,2"


def test_the_callers_terminal_is_not_the_containers(nestbox, image):
    import pty

    master, slave = pty.openpty()
    try:
        words = (*nestbox.arguments("--rootfs", str(image), "--", "probe", "terminal"),)
        with subprocess.Popen(
            words,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
            env=nestbox.environment(),
        ) as process:
            out = process.communicate(timeout=60)[0].decode()
    finally:
        os.close(master)
        os.close(slave)
    assert "isatty0 0" in out
    assert "isatty1 0" in out
    assert "isatty2 0" in out


@pytest.mark.parametrize("streams", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_of_the_caller_are_no_traceback(nestbox, image, streams):
    closed = " ".join(f"{fd}>&-" for fd in streams)
    words = nestbox.arguments("-i", "--rootfs", str(image), "--", "sh", "-c", "echo x; exit 3")
    script = f'"$@" {closed}; echo $? >"$0"'
    status = nestbox.directory.parent / "status"
    done = nestbox.call(["sh", "-c", script, str(status), *words])
    assert "Traceback" not in done.stderr
    assert status.read_text().strip() in {"3", "125"}


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_closed_stream_of_the_caller_is_the_null_device_in_the_container(nestbox, image, stream):
    """Not whatever file nestbox opened under that number."""
    other = 1 if stream == 2 else 2
    command = f"readlink /proc/1/fd/{stream} >&{other} & wait"
    words = nestbox.arguments("-i", "--rootfs", str(image), "--", "sh", "-c", command)
    done = nestbox.call(["sh", "-c", f'"$@" {stream}>&-', "sh", *words])
    assert (done.stdout + done.stderr).strip() == "/dev/null"
