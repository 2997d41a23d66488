"""Sysctls are tried in namespaces that are thrown away: nothing outside changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nestbox.outer.sysctl_trials import try_sysctls
from tests.users import another_user

pytestmark = pytest.mark.root


def value(path: str) -> str:
    return Path("/proc/sys", path).read_text()


@pytest.mark.parametrize("nested", [False, True])
def test_what_a_new_network_takes_is_told_and_the_outer_one_stays_as_it_is(nested: bool) -> None:
    paths = ("net/ipv4/ip_default_ttl", "net/core/somaxconn")
    before = [value(path) for path in paths]
    found = try_sysctls(
        {
            "net/ipv4/ip_default_ttl": "33",
            "net/core/somaxconn": "33",
            "net/ipv4/tcp_sack": "x",
            "net/no/such": "1",
        },
        "net",
        in_user_namespace=nested,
    )
    assert {path: trial.error for path, trial in found.items()} == {
        "net/ipv4/ip_default_ttl": None,
        "net/core/somaxconn": None,
        "net/ipv4/tcp_sack": "EINVAL",
        "net/no/such": "ENOENT",
    }
    assert [value(path) for path in paths] == before


def test_what_a_new_ipc_namespace_takes_is_told_and_the_outer_one_stays_as_it_is() -> None:
    before = value("kernel/msgmax")
    found = try_sysctls({"kernel/msgmax": "5000"}, "ipc", in_user_namespace=False)
    assert found["kernel/msgmax"].works
    assert value("kernel/msgmax") == before


def test_a_read_only_proc_says_nothing_about_the_container_s() -> None:
    code = (
        "from nestbox.outer.sysctl_trials import try_sysctls;"
        "print(try_sysctls({'net/ipv4/ip_default_ttl': '33'}, 'net', in_user_namespace=False))"
    )
    script = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "{}"


def test_without_the_right_to_a_namespace_nothing_is_said() -> None:
    code = (
        "from nestbox.outer.sysctl_trials import try_sysctls;"
        "print(try_sysctls({'net/ipv4/ip_default_ttl': '33'}, 'net', in_user_namespace=False),"
        "try_sysctls({'net/ipv4/ip_default_ttl': '33'}, 'net', in_user_namespace=True))"
    )
    done = subprocess.run(
        [*another_user(), sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{} {'net/ipv4/ip_default_ttl': Trial(error=None)}"


def test_more_than_one_trial_holds_are_passed_over() -> None:
    values = {f"net/no/such{number}": "1" for number in range(200)}
    found = try_sysctls(values, "net", in_user_namespace=False)
    assert len(found) == 128
    assert os.path.exists("/proc/sys/net")
