"""Exit codes as of docker run: 125, 126, 127, the program's own, 128+n for a signal."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def launch(nestbox, image):
    """Return a function that runs a command in the small root."""

    def run(*command, flags=()):
        return nestbox.run(*flags, "--rootfs", str(image), "--", *command)

    return run


@pytest.mark.parametrize("status", [0, 1, 3, 42, 125, 255])
def test_the_status_of_the_program_is_the_exit_code(launch, status):
    done = launch("sh", "-c", f"exit {status}")
    assert (done.exit_code, done.stderr) == (status, "")


@pytest.mark.parametrize("init", [(), ("--init",)])
@pytest.mark.parametrize("number", [6, 9, 15])
def test_a_signal_that_ends_the_program_is_128_and_its_number(launch, number, init):
    # A first process gets no signal that it does not handle, so a child of it dies under a shell.
    command = f"sh -c 'kill -{number} $$'; exit $?"
    assert launch("sh", "-c", command, flags=init).exit_code == 128 + number


def test_a_signal_that_ends_the_program_below_an_init_is_128_and_its_number(launch):
    assert launch("sh", "-c", "kill -9 $$", flags=("--init",)).exit_code == 137


def test_a_program_that_does_not_exist_is_127(launch):
    done = launch("nosuchprogram")
    assert done.exit_code == 127
    assert "nosuchprogram" in done.stderr
    assert "because:" in done.stderr


def test_a_path_that_does_not_exist_is_127(launch):
    assert launch("/no/such/program").exit_code == 127


def test_a_directory_as_program_is_126(launch):
    done = launch("/etc")
    assert done.exit_code == 126
    assert "/etc" in done.stderr


def test_a_file_without_execute_permission_is_126(launch):
    done = launch("/etc/passwd")
    assert done.exit_code == 126
    assert "/etc/passwd" in done.stderr


def test_a_script_without_its_interpreter_is_127_and_names_it(nestbox, root):
    script = root / "bin/script"
    script.write_text("#!/no/interpreter\n")
    script.chmod(0o755)
    done = nestbox.run("--rootfs", str(root), "--", "script")
    assert done.exit_code in {126, 127}
    assert "interpreter" in done.stderr


def test_a_file_of_no_known_format_is_126(nestbox, root):
    program = root / "bin/garbage"
    program.write_bytes(b"\0garbage")
    program.chmod(0o755)
    done = nestbox.run("--rootfs", str(root), "--", "garbage")
    assert done.exit_code == 126
    assert "garbage" in done.stderr


def test_an_unknown_flag_is_125(nestbox):
    done = nestbox.run("--no-such-flag", "--", "true")
    assert done.exit_code == 125
    assert "--no-such-flag" in done.stderr


def test_no_command_is_125(nestbox, image):
    done = nestbox.run("--rootfs", str(image))
    assert done.exit_code == 125
    assert "because:" in done.stderr


def test_a_program_is_found_by_the_path_of_the_container(nestbox, root):
    (root / "opt").mkdir()
    (root / "opt/tool").symlink_to("/bin/busybox")
    (root / "opt/true").symlink_to("/bin/busybox")
    done = nestbox.run("-e", "PATH=/opt", "--rootfs", str(root), "--", "true")
    assert (done.exit_code, done.stderr) == (0, "")


def test_a_closed_standard_output_is_no_traceback(nestbox, image):
    words = nestbox.arguments("--rootfs", str(image), "--", "echo", "x")
    done = nestbox.call(["sh", "-c", '"$@" >&-; echo $? >&2', "sh", *words])
    assert "Traceback" not in done.stderr
