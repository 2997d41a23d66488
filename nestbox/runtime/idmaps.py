"""Writing the id maps of a new user namespace, while the executor waits for them."""

from __future__ import annotations

from nestbox.errors import LaunchError, reason
from nestbox.kernel.writing import write_file
from nestbox.outer.facts import IdMap, Tools
from nestbox.policy.launch_spec import LaunchSpec


def write_maps(launch: LaunchSpec, pid: int, tools: Tools | None) -> None:
    """Write setgroups, gid_map and uid_map of a process in a new user namespace.

    Raises:
        LaunchError: the kernel or newuidmap refused.

    Source: user_namespaces(7), "User and group ID mappings".
    """
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
    text = "".join(f"{row.inside} {row.outside} {row.count}\n" for row in rows)
    _write(f"/proc/{pid}/{name}", text)


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
    done = subprocess.run([path, str(pid), *numbers], capture_output=True, check=False, timeout=10)
    if done.returncode != 0:
        raise LaunchError(
            f"cannot map ids with {name}",
            cause=done.stderr.decode(errors="replace").strip() or f"status {done.returncode}",
            remedy="check /etc/subuid, /etc/subgid and that the program is set-user-ID root",
        )
