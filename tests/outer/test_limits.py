"""Limits, sysctls, tools and labels: what the process itself would find."""

from __future__ import annotations

import os
import resource

import pytest

from nestbox.outer.facts import Limit, Subject
from nestbox.outer.identity import apparmor_mode, parse_release
from nestbox.outer.tools import find_program


def test_limits_are_those_that_were_set(observe_under):
    command = ["prlimit", "--nofile=100:200", "--core=0:0", "--memlock=unlimited:unlimited"]
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] != resource.RLIM_INFINITY:
        command.pop()
    found = observe_under([*command, "--"], frozenset({Subject.LIMITS})).limits
    assert found.rlimits["RLIMIT_NOFILE"] == Limit(soft=100, hard=200)
    assert found.rlimits["RLIMIT_CORE"] == Limit(soft=0, hard=0)
    if len(command) == 4:
        assert found.rlimits["RLIMIT_MEMLOCK"] == Limit(soft=None, hard=None)
    assert len(found.rlimits) == 16


def test_cpus_are_those_of_our_affinity(observe_under):
    cpu = min(os.sched_getaffinity(0))
    found = observe_under(["taskset", "-c", str(cpu)], frozenset({Subject.LIMITS})).limits
    assert found.cpus == 1
    assert found.memory_total_bytes > 1 << 20


def test_the_oom_score_is_read_even_when_negative(observe_under):
    script = 'echo 321 > /proc/self/oom_score_adj && exec "$0" "$@"'
    found = observe_under(["sh", "-c", script], frozenset({Subject.LIMITS}))
    assert (found.limits.oom_score_adj, found.limits.oom_score_floor) == (321, 0)


@pytest.mark.root
def test_a_sysctl_is_the_kernel_s_and_an_absent_one_is_none(observe_under):
    script = 'echo 77 > /proc/sys/user/max_net_namespaces && exec "$0" "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    found = observe_under(command, frozenset({Subject.SYSCTLS})).sysctls
    assert found["user.max_net_namespaces"] == "77"
    for name, value in found.items():
        path = "/proc/sys/" + name.replace(".", "/")
        if name != "lockdown" and not os.path.exists(path):
            assert value is None, name


def test_umask_and_groups_are_seen(observe_under):
    script = 'umask 027 && exec "$0" "$@"'
    found = observe_under(["sh", "-c", script], frozenset({Subject.IDENTITY})).identity
    assert found.umask == 0o027
    assert found.groups == tuple(os.getgroups())


def test_tools_are_found_on_the_path_of_the_environment(observe_under, tmp_path):
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "pasta"
    tool.write_text("#!/bin/sh\n")
    tools = frozenset({Subject.TOOLS})
    environment = {"PATH": f"relative:{tmp_path}/bin"}
    assert observe_under([], tools, environment=environment).tools.pasta is None
    tool.chmod(0o755)
    found = observe_under([], tools, environment=environment).tools
    assert found.pasta == str(tool)
    assert found.newuidmap is None


def test_a_directory_is_no_program(tmp_path):
    (tmp_path / "pasta").mkdir()
    assert find_program("pasta", str(tmp_path)) is None
    assert find_program("pasta", "") is None


@pytest.mark.parametrize(
    ("label", "mode"),
    [
        (None, None),
        ("unconfined", "unconfined"),
        ("docker-default (enforce)", "enforce"),
        ("/usr/bin/x (y) (complain)", "complain"),
        ("system_u:system_r:container_t:s0", None),
    ],
)
def test_the_mode_is_taken_from_an_apparmor_label(label, mode):
    assert apparmor_mode(label) == mode


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.1.0-18-amd64", (6, 1)),
        ("5.15.90.1-microsoft-standard-WSL2", (5, 15)),
        ("4.4.0", (4, 4)),
        ("6.12-rc1", (6, 12)),
        ("7", None),
        ("generic", None),
        ("", None),
        ("\u00b2.\u00b2", None),
    ],
)
def test_the_version_is_taken_from_a_release(release, version):
    assert parse_release(release) == version
