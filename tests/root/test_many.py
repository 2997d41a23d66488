"""Many launches, one after the other and at once: nothing is left, nothing grows."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

import nestbox as library

pytestmark = pytest.mark.usefixtures("nothing_left")

LAUNCHES = 1000
THREADS = 8
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.mark.slow
def test_a_thousand_launches_in_a_row_leave_nothing_behind(nestbox, image, context, surroundings):
    def launch(number):
        # Each fifth with all that can be left, the others to be many.
        more = {"memory": "64m", "pids_limit": 20} if number % 5 == 0 else {}
        done = library.run(
            ["echo", str(number)],
            rootfs=f"{image}:overlay" if more else str(image),
            name=f"{nestbox.prefix}-{number}",
            context=context,
            **more,
        )
        assert (done.exit_code, done.stdout) == (0, b"%d\n" % number)

    for number in range(50):
        launch(number)
    before, used = surroundings(), resident_bytes()
    for number in range(LAUNCHES):
        launch(number)
    assert surroundings() == before
    assert resident_bytes() - used < 4 << 20
    # The last hundred records are kept, and a few more until the oldest are removed together.
    assert 100 <= len(list((nestbox.state / "@records").iterdir())) <= 120


def test_launches_from_threads_do_not_disturb_each_other(nestbox, image, context, surroundings):
    library.run(["true"], rootfs=str(image), context=context)
    before = surroundings()
    failures = []

    def work(thread):
        for number in range(10):
            name = f"{nestbox.prefix}-{thread}-{number}"
            text = f"{thread} {number}\n".encode()
            done = library.run(
                ["sh", "-c", "cat; hostname; exit 3"],
                rootfs=str(image),
                hostname=f"t{thread}n{number}",
                name=name,
                input=text,
                pids_limit=10,
                context=context,
            )
            if (done.exit_code, done.stdout) != (3, text + f"t{thread}n{number}\n".encode()):
                failures.append(done)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert surroundings() == before


def test_nothing_of_the_process_is_changed_by_a_launch(image, context):
    def state():
        umask = os.umask(0)
        os.umask(umask)
        handlers = [signal.getsignal(number) for number in signal.valid_signals()]
        return os.getcwd(), umask, handlers, dict(os.environ)

    before = state()
    library.run(["true"], rootfs=str(image), context=context)
    assert state() == before


def test_a_launch_that_takes_too_long_is_ended(image, context):
    with pytest.raises(library.NestboxError) as caught:
        library.run(["sleep", "1000"], rootfs=str(image), timeout=0.3, context=context)
    assert "0.3 seconds" in caught.value.cause


def test_a_child_that_another_reaped_is_an_error_and_leaves_nothing(image, context):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(library.NestboxError) as caught:
            library.run(["true"], rootfs=str(image), context=context)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert "SIGCHLD" in caught.value.cause


def test_input_and_output_are_bytes(image, context):
    data = bytes(range(256)) * 5000
    done = library.run(["cat"], rootfs=str(image), input=data, context=context)
    assert done.stdout == data


def test_the_record_of_a_run_answers_why(image, context):
    done = library.run(["true"], rootfs=str(image), profile="minimal", context=context)
    assert done.record.capability("CAP_SYS_ADMIN").cause
    assert done.record.capability("sys_admin").name == "CAP_SYS_ADMIN"
