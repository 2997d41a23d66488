"""What a launcher really made, read inside its container, to tell whether all did the same."""

from __future__ import annotations

from typing import Final

import msgspec

from bench.hierarchies import TOP

NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
PROBE: Final = (
    "/bin/sh",
    "-c",
    f"for name in {' '.join(NAMESPACES)}; do /bin/readlink /proc/self/ns/$name; done; "
    "echo; /bin/cat /proc/self/status; echo; /bin/cat /proc/self/mountinfo; "
    f"echo; for top in {TOP}/unified {TOP}; do "
    "if [ -e $top/cgroup.procs ]; then /bin/cat $top/cgroup.procs; fi; done",
)


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """One container as its own process sees it."""

    namespaces: frozenset[str]  # "mnt:[4026532281]"
    bounding: int
    effective: int
    seccomp: int  # 0 unconfined, 2 a filter
    no_new_privileges: bool
    cgroup_shared: bool  # its cgroup of version 2, if it sees one, holds processes from outside
    mounts: dict[str, str]  # mount point to "type ro", "type rw" or "null device"


def parse(text: str) -> Inside:
    """Return what the output of PROBE says.

    Raises:
        ValueError: it is not the output of PROBE.

    Source: proc_pid_status(5), proc_pid_mountinfo(5); cgroup-v2.rst: in cgroup.procs a process of
    an outer pid namespace is 0.
    """
    try:
        links, status, mountinfo, processes = text.split("\n\n")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        return Inside(
            namespaces=frozenset(links.split()),
            bounding=int(fields["CapBnd"], 16),
            effective=int(fields["CapEff"], 16),
            seccomp=int(fields["Seccomp"]),
            no_new_privileges=fields["NoNewPrivs"] == "1",
            cgroup_shared="0" in processes.split(),
            mounts=dict(_mount(line) for line in mountinfo.splitlines()),
        )
    except KeyError as error:
        raise ValueError(f"the container's status has no {error}") from error


def privilege_differences(inside: Inside, *, capabilities: int, filtered: bool) -> list[str]:
    """Return where the process has other capabilities than these, or other restrictions."""
    lines = []
    if inside.bounding != capabilities:
        lines.append(f"bounding set {inside.bounding:#x} instead of {capabilities:#x}")
    if inside.effective != capabilities:
        lines.append(f"effective set {inside.effective:#x} instead of {capabilities:#x}")
    if (inside.seccomp != 0) != filtered:
        lines.append("has no seccomp filter" if filtered else "has a seccomp filter")
    if inside.no_new_privileges:
        lines.append("sets no_new_privs")
    return lines


def shared_namespaces(inside: Inside, outer: frozenset[str]) -> list[str]:
    """Return the kinds of namespace that the container shares with the benchmark itself."""
    return sorted(link.partition(":")[0] for link in inside.namespaces & outer)


def mount_differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Return how their mount points, types and access differ from ours."""
    lines = []
    more, fewer = sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys())
    other = sorted(path for path in ours.keys() & theirs.keys() if ours[path] != theirs[path])
    if more:
        lines.append(f"{len(more)} more mounts: {_some(more)}")
    if fewer:
        lines.append(f"{len(fewer)} fewer mounts: {_some(fewer)}")
    if other:
        changes = [f"{path} ({theirs[path]}, not {ours[path]})" for path in other]
        lines.append(f"other mounts: {_some(changes)}")
    return lines


# The root of a bind of the node: of the outer /dev, or of one that nestbox made for it.
_NULL_DEVICES = frozenset({"/null", "/covering-null"})


def _mount(line: str) -> tuple[str, str]:
    before, _, after = line.partition(" - ")
    fields = before.split()
    if fields[3] in _NULL_DEVICES:
        return fields[4], "null device"
    access = "ro" if "ro" in fields[5].split(",") else "rw"
    return fields[4], f"{after.split()[0]} {access}"


def _some(items: list[str], most: int = 8) -> str:
    return ", ".join(items[:most]) + (", …" if len(items) > most else "")
