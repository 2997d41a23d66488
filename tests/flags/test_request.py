"""From a command line to the request that the library gets."""

from __future__ import annotations

from typing import Any, cast

import click
import msgspec
import pytest

from nestbox.cli.command import Command
from nestbox.cli.launch_options import launch_parameters
from nestbox.errors import UsageError
from nestbox.flags.request import LaunchFlags, request_of
from nestbox.policy.request import RootKind, RootMode, RootRequest, RunRequest
from nestbox.runtime.context import Context

CONTEXT = Context(
    directory="/here",
    environment={"HOME": "/home/me"},
    stdin=0,
    stdout=1,
    stderr=2,
    root="/run/nestbox",
    storage="/var/lib/nestbox",
)


def request(*arguments: str) -> RunRequest:
    command = Command(
        "run", params=launch_parameters(), context_settings={"allow_interspersed_args": False}
    )
    flags: dict[str, Any] = command.make_context("run", list(arguments)).params
    return request_of(cast(LaunchFlags, flags), CONTEXT)


PLAIN = RunRequest(
    argv=("true",),
    root=RootRequest(kind=RootKind.HOST, directory="/", mode=RootMode.DIRECT),
    working_directory="/here",
)


def test_a_command_alone_runs_over_the_present_root_where_its_caller_is() -> None:
    assert request("true") == PLAIN
    assert request("--", "true") == PLAIN


def test_over_another_root_the_working_directory_is_its_own() -> None:
    assert request("--rootfs", "/r", "true").working_directory is None
    assert request("--rootfs", "/r", "-w", "/src", "true").working_directory == "/src"


@pytest.mark.parametrize(
    ("arguments", "argv"),
    [
        (["sh", "-c", "id -u"], ("sh", "-c", "id -u")),
        (["--", "sh", "-c", "x"], ("sh", "-c", "x")),
        (["--privileged", "sh", "--privileged"], ("sh", "--privileged")),
        (["sh", "--", "x"], ("sh", "--", "x")),
        (["--", "--privileged"], ("--privileged",)),
        (["a\nb", ""], ("a\nb", "")),
    ],
)
def test_options_end_at_the_first_word_that_is_none(
    arguments: list[str], argv: tuple[str, ...]
) -> None:
    assert request(*arguments).argv == argv
    assert request(*arguments).profile is None


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["--profile", "minimal"], {"profile": "minimal"}),
        (["--privileged"], {"privileged": True}),
        (["--cap-add", "A,B", "--cap-add=C"], {"cap_add": ("A", "B", "C")}),
        (["--cap-add", "A, B?"], {"cap_add": ("A", "B?")}),
        (["--cap-add", ""], {"cap_add": ("",)}),
        (["--cap-drop", "ALL"], {"cap_drop": ("ALL",)}),
        (["--ambient"], {"ambient": True}),
        (["-e", "A=1", "--env", "HOME", "-eB=2"], {"environment": ("A=1", "HOME=/home/me", "B=2")}),
        (["-w", "/src"], {"working_directory": "/src"}),
        (["-u", "1000:1000"], {"user": "1000:1000"}),
        (["--hostname", "box"], {"hostname": "box"}),
        (["--network", "none"], {"network": "none"}),
        (["--net=host"], {"network": "host"}),
        (["--userns", "auto"], {"user_namespace": "auto"}),
        (["--read-only"], {"read_only": True}),
        (["--memory", "64m"], {"memory_bytes": 64 << 20}),
        (["-m64m"], {"memory_bytes": 64 << 20}),
        (["--cpus", "1.5"], {"cpus": 1.5}),
        (["--pids-limit", "-1"], {"pids_limit": -1}),
        (["--shm-size", "1m"], {"shm_bytes": 1 << 20}),
        (["--sysctl", "a=b", "--sysctl", "c=d"], {"sysctls": (("a", "b"), ("c", "d"))}),
        (["--init"], {"init": True}),
        (["-i"], {"interactive": True}),
        (["-it"], {"interactive": True, "terminal": True}),
        (["-ti"], {"interactive": True, "terminal": True}),
        (["--rm"], {}),
        (["--name", "box"], {"name": "box"}),
    ],
)
def test_each_option_sets_what_it_is_for_and_nothing_else(
    arguments: list[str], changes: dict[str, Any]
) -> None:
    assert request(*arguments, "true") == msgspec.structs.replace(PLAIN, **changes)


def test_volumes_mounts_and_tmpfs_are_together() -> None:
    mounts = request(
        "--tmpfs", "/t", "-v", ".:/v", "--mount", "type=bind,src=/s,dst=/m", "true"
    ).mounts  # fmt: skip
    assert [(mount.type, mount.source, mount.target) for mount in mounts] == [
        ("bind", "/here", "/v"),
        ("bind", "/s", "/m"),
        ("tmpfs", "", "/t"),
    ]


def test_devices_limits_and_security_options_are_read() -> None:
    asked = request(
        "--device", "/dev/fuse", "--ulimit", "core=0", "--security-opt", "seccomp=s.json", "true"
    )  # fmt: skip
    assert [device.source for device in asked.devices] == ["/dev/fuse"]
    assert [limit.name for limit in asked.limits] == ["RLIMIT_CORE"]
    assert asked.security.seccomp == "/here/s.json"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--memory", "much"],
        ["--memory", "-64m"],
        ["--cpus", "few"],
        ["--pids-limit", "some"],
        ["--shm-size", "-1"],
        ["--ulimit", "files=1"],
        ["--sysctl", "x"],
        ["--device", "fuse"],
        ["--security-opt", "x=y"],
        ["-v", "/x:"],
        ["--mount", "x"],
        ["--tmpfs", ""],
        ["--rootfs", ""],
        ["--env-file", "/nonexistent"],
    ],
)
def test_an_error_in_a_value_begins_with_the_option_as_it_was_written(arguments: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        request(*arguments, "true")
    assert refused.value.what == " ".join(arguments)


def test_an_option_without_its_value_is_an_error_of_the_parser() -> None:
    with pytest.raises(click.UsageError):
        request("--memory")
