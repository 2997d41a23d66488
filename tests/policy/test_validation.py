"""Requests that are wrong whatever the environment: one clear error each."""

from __future__ import annotations

from typing import Any

import pytest

from nestbox.errors import UsageError
from nestbox.policy.request import (
    LimitRequest,
    MountRequest,
    RootKind,
    RootMode,
    RootRequest,
    SecurityOptions,
)
from nestbox.policy.validation import check_name, check_request
from tests.policy.surroundings import DIRECTORY, ask


def limit(soft: int | None, hard: int | None) -> LimitRequest:
    return LimitRequest(name="RLIMIT_NOFILE", soft=soft, hard=hard, asked_by="--ulimit nofile")


def overlay() -> RootRequest:
    return RootRequest(kind=RootKind.DIRECTORY, directory="/r", mode=RootMode.OVERLAY)


def volume(**fields: Any) -> MountRequest:
    given: dict[str, Any] = {
        "type": "bind",
        "source": "/a",
        "target": "/b",
        "options": (),
        "asked_by": "-v /a:/b",
        "must_exist": False,
    }
    return MountRequest(**(given | fields))


BAD: dict[str, dict[str, Any]] = {
    "no command": {"argv": ()},
    "an empty program": {"argv": ("",)},
    "NUL in an argument": {"argv": ("true", "a\0b")},
    "NUL in a variable": {"environment": ("A=b\0c",)},
    "a variable without a name": {"environment": ("=b",)},
    "a variable without a value": {"environment": ("A",)},
    "a relative working directory": {"working_directory": "a"},
    "a working directory above the root": {"working_directory": "/../etc"},
    "NUL in the working directory": {"working_directory": "/a\0"},
    "NUL in the root": {
        "root": RootRequest(kind=DIRECTORY.kind, directory="/\0", mode=DIRECTORY.mode)
    },
    "a relative root": {
        "root": RootRequest(kind=DIRECTORY.kind, directory="r", mode=DIRECTORY.mode)
    },
    "read-only and overlay": {"read_only": True, "root": overlay()},
    "privileged and a profile": {"privileged": True, "profile": "default"},
    "a name with a slash": {"name": "a/b"},
    "a name that is the parent": {"name": ".."},
    "a name with a newline": {"name": "a\n"},
    "a name too long for a directory": {"name": "a" * 256},
    "a host name with a newline": {"hostname": "a\nb"},
    "a host name with a space": {"hostname": "a b"},
    "a host name that is too long": {"hostname": "a" * 65},
    "an empty host name": {"hostname": ""},
    "a network of another container": {"network": "container:web"},
    "a network that does not exist": {"network": "nome"},
    "negative memory": {"memory_bytes": -1},
    "too little memory": {"memory_bytes": (6 << 20) - 1},
    "more memory than a file takes": {"memory_bytes": 1 << 63},
    "no shared memory": {"shm_bytes": 0},
    "no processor": {"cpus": 0.0},
    "negative processors": {"cpus": -1.0},
    "processors that are no number": {"cpus": float("nan")},
    "endless processors": {"cpus": float("inf")},
    "no process": {"pids_limit": 0},
    "negative processes": {"pids_limit": -2},
    "soft above hard": {"limits": (limit(2, 1),)},
    "unlimited soft below a hard limit": {"limits": (limit(None, 1),)},
    "a negative limit": {"limits": (limit(-1, 1),)},
    "a limit given twice": {"limits": (limit(1, 1), limit(2, 2))},
    "NUL in a source": {"mounts": (volume(source="/a\0"),)},
    "a mount of no type": {"mounts": (volume(type="image"),)},
    "NUL in an option": {"mounts": (volume(options=("ro\0",)),)},
    "NUL in a masked path": {"security": SecurityOptions(mask=("/a\0",))},
    "the root masked": {"security": SecurityOptions(mask=("/a/..",))},
    "a relative masked path": {"security": SecurityOptions(mask=("a",))},
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_usage_error(case: str) -> None:
    fields = dict(BAD[case])
    argv = fields.pop("argv", ("true",))
    request = ask(**fields) if argv == ("true",) else ask(*argv, **fields)
    if not argv:
        request = ask(argv=(), **fields)
    with pytest.raises(UsageError) as caught:
        check_request(request)
    error = caught.value
    assert error.what
    assert error.cause
    assert error.remedy
    assert "\0" not in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["a", "A.b-c_d+e", "0", "...", "a" * 255])
def test_good_names(name: str) -> None:
    check_name(name)


def test_a_request_with_everything_in_order_passes() -> None:
    check_request(
        ask(
            "sh",
            "-c",
            "a\nb",
            environment=("A=b\nc", "B="),
            working_directory="/a/../b",
            memory_bytes=6 << 20,
            cpus=0.01,
            pids_limit=-1,
            limits=(limit(None, None),),
            hostname="a-1.b",
            privileged=True,
            profile="privileged",
        )
    )
