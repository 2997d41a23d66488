"""Writing the id maps of a new user namespace, while the executor waits for them.

With them goes what only rights over the whole machine can do for the executor, which has none.
"""

from __future__ import annotations

from typing import Final

from nestbox.errors import LaunchError, reason
from nestbox.kernel.writing import write_file
from nestbox.outer.facts import IdMap, Tools
from nestbox.policy.id_rows import text_of
from nestbox.policy.launch_spec import LaunchSpec, ProcessSpec
from nestbox.runtime.processes import require_own_proc

_TOOL_SECONDS: Final = 5  # a name service may be asked
_TOOL_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


def write_maps(launch: LaunchSpec, pid: int, tools: Tools | None) -> None:
    """Write setgroups, gid_map and uid_map of a process in a new user namespace.

    Raises:
        LaunchError: the kernel or newuidmap refused, or did not end in time.

    Source: user_namespaces(7), "User and group ID mappings".
    """
    require_own_proc()
    _raise_limits(launch.process, pid)
    if launch.map_with_tools:
        _run_tool(tools.newuidmap if tools else None, "newuidmap", pid, launch.uid_map)
        _run_tool(tools.newgidmap if tools else None, "newgidmap", pid, launch.gid_map)
        return
    if launch.process.groups is None:
        # Before gid_map, or the kernel refuses that to the unprivileged (CVE-2014-8989).
        _write(f"/proc/{pid}/setgroups", "deny")
    write_rows(pid, "gid_map", launch.gid_map)
    write_rows(pid, "uid_map", launch.uid_map)


def write_rows(pid: int, name: str, rows: tuple[IdMap, ...]) -> None:
    """Write the ``uid_map`` or ``gid_map`` of a process. Raises LaunchError."""
    require_own_proc()
    _write(f"/proc/{pid}/{name}", text_of(rows))


def _write(path: str, text: str) -> None:
    try:
        write_file(path, text)
    except OSError as error:
        raise LaunchError(
            f"cannot write {path}",
            cause=f"the kernel refused {text.strip()!r}: {reason(error)}",
            remedy="map ids that this user owns; `nestbox doctor` shows them",
        ) from error


def _run_tool(path: str | None, name: str, pid: int, rows: tuple[IdMap, ...]) -> None:
    if path is None:
        raise LaunchError(
            f"cannot run {name}",
            cause="it was not found on PATH",
            remedy="install the package uidmap (Debian, Ubuntu) or shadow-utils",
        )
    import subprocess

    numbers = [str(x) for row in rows for x in (row.inside, row.outside, row.count)]
    try:
        done = subprocess.run(
            [path, str(pid), *numbers],
            env={"PATH": _TOOL_PATH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            timeout=_TOOL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(name, f"{path} did not end within {_TOOL_SECONDS} seconds") from error
    except OSError as error:
        raise _failed(name, f"{path} cannot be executed: {reason(error)}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise _failed(name, said or f"{path} ended with {done.returncode} and said nothing")


def _failed(name: str, cause: str) -> LaunchError:
    return LaunchError(
        f"cannot map ids with {name}",
        cause=cause,
        remedy="check /etc/subuid, /etc/subgid and that the program is set-user-ID root",
    )


def _raise_limits(process: ProcessSpec, pid: int) -> None:
    """Give a process in a new user namespace what it may not take: higher limits, a lower score.

    Both ask for CAP_SYS_RESOURCE in the first user namespace; whether we have it was decided. The
    executor then sets the same values again, as it does elsewhere.

    Source: getrlimit(2), proc_pid_oom_score_adj(5).
    """
    if process.oom_score_adj is not None:
        _write(f"/proc/{pid}/oom_score_adj", str(process.oom_score_adj))
    if not process.rlimits:
        return
    import resource

    from nestbox.kernel.rlimits import RLIMITS

    for name, limit in process.rlimits:
        number = RLIMITS[name]
        soft, hard = resource.prlimit(pid, number)
        wanted = resource.RLIM_INFINITY if limit.hard is None else limit.hard
        if hard == resource.RLIM_INFINITY or 0 <= wanted <= hard:
            continue
        try:
            resource.prlimit(pid, number, (soft, wanted))
        except (OSError, ValueError) as error:
            raise LaunchError(
                f"cannot raise {name} to {wanted}",
                cause=str(error).lower(),
                remedy="ask for less, or give the outer environment CAP_SYS_RESOURCE",
            ) from error
