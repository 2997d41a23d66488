"""Shares of cache and memory bandwidth: the classes and monitoring groups of resctrl.

Source: runtime-spec 1.3, config-linux.md, "IntelRdt"; the kernel's Documentation, "User Interface
for Resource Control feature (resctrl)".
"""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nestbox.oci.linux import LinuxIntelRdt

_ROOT_CLASS = "/"  # a closID: the class that everything is in
_MONITORING = "mon_groups"
_FEATURES = {  # in info/L3_MON/mon_features: the member of the statistics, and the file's name
    "llc_occupancy": "cmt_stats",
    "mbm_total_bytes": "mbm_stats",
    "mbm_local_bytes": "mbm_stats",
}


class Group:
    """Where a container belongs: its class, and its monitoring group, empty when it has none.

    ``own`` is whether the class has the container's name, and ``root`` where resctrl is mounted.
    """

    def __init__(self, *, root: str, path: str, own: bool, monitoring: str) -> None:
        self.root = root
        self.path = path
        self.own = own
        self.monitoring = monitoring


def find_root() -> str | None:
    """Return where resctrl is mounted, None when it is not."""
    from nestbox.kernel.procfs import parse_mountinfo
    from nestbox.kernel.reading import read_proc

    mounts = parse_mountinfo(read_proc("/proc/self/mountinfo"))
    return next((mount.target for mount in mounts if mount.fstype == "resctrl"), None)


def required_group(rdt: LinuxIntelRdt, container: str) -> Group:
    """Return the group that a configuration asks for.

    Raises:
        LaunchError: there is no resctrl, or it does not control what the configuration names.
    """
    root = find_root()
    if root is None:
        raise LaunchError(
            "intelRdt is specified in config, but Intel RDT is not enabled",
            cause="no file system resctrl is mounted",
            remedy="mount it (mount -t resctrl resctrl /sys/fs/resctrl), or take intelRdt out",
        )
    check_enabled(rdt, root)
    return group_of(rdt, container, root)


def group_of(rdt: LinuxIntelRdt, container: str, root: str) -> Group:
    """Return the group that a configuration asks for, below ``root``."""
    name = rdt.clos_id or container
    path = root if name == _ROOT_CLASS else os.path.join(root, name)
    monitoring = os.path.join(path, _MONITORING, container) if rdt.enable_monitoring else ""
    return Group(root=root, path=path, own=not rdt.clos_id, monitoring=monitoring)


def kept(group: Group) -> str:
    """Return what of a group that is not prepared yet will go with the container, or nothing."""
    if group.own and not os.path.isdir(group.path):
        return group.path
    return group.monitoring


def prepare(group: Group, rdt: LinuxIntelRdt) -> None:
    """Make what a configuration asks for and is not there yet.

    Raises:
        LaunchError: the class has other shares than the configuration says, or the kernel refused;
            nothing is left behind.
    """
    made: list[str] = []
    try:
        _prepare_class(group, rdt, made)
        if group.monitoring:
            _make(group.monitoring, group.root, made)
    except LaunchError:
        for path in reversed(made):
            remove(path)
        raise


def enter(group: Group, pid: int) -> None:
    """Move a process, and what it will start, into a group. Raises LaunchError."""
    for directory in filter(None, (group.path, group.monitoring)):
        _write(os.path.join(directory, "tasks"), f"{pid}", group.root)


def update(path: str, l3_cache_schema: str, mem_bw_schema: str) -> None:
    """Write other shares to a class; an empty schema stays as it is. Raises LaunchError."""
    text = "".join(f"{line}\n" for line in (l3_cache_schema, mem_bw_schema) if line)
    root = path if os.path.isdir(os.path.join(path, "info")) else os.path.dirname(path)
    if text:
        _write(os.path.join(path, "schemata"), text, root)


def remove(path: str) -> None:
    """Remove a group that was ours; what runs in it goes to the one above. Raises LaunchError."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise LaunchError(
            f"cannot remove the group {path!r} of resctrl",
            cause=reason(error),
            remedy="remove it by hand with rmdir",
        ) from error


def check_enabled(rdt: LinuxIntelRdt, root: str) -> None:
    """Refuse shares of what the machine does not control. Raises LaunchError."""
    asked = {"L3": ("l3CacheSchema", rdt.l3_cache_schema), "MB": ("memBwSchema", rdt.mem_bw_schema)}
    for resource, (field, schema) in asked.items():
        if schema and not _has(root, resource):
            raise LaunchError(
                f"intelRdt.{field} is specified in config, but is not enabled",
                cause=f"{root}/info has no {resource}",
                remedy=f"take {field} out, or use a machine that has it",
            )


def _has(root: str, resource: str) -> bool:
    """Whether the machine controls a resource; code and data are one or two resources."""
    names = (resource, f"{resource}CODE", f"{resource}DATA")
    return any(os.path.isdir(os.path.join(root, "info", name)) for name in names)


def _prepare_class(group: Group, rdt: LinuxIntelRdt, made: list[str]) -> None:
    named = tuple(filter(None, (rdt.l3_cache_schema, rdt.mem_bw_schema)))
    lines = named + rdt.schemata
    if not group.own and not lines:
        _check_exists(group.path, rdt.clos_id)
        return
    if group.path != group.root:
        _make(group.path, group.root, made)
    if not group.own and group.path not in made and named:
        _check_same(group.path, named)
        lines = rdt.schemata
    if lines:
        text = "".join(f"{line}\n" for line in lines)
        _write(os.path.join(group.path, "schemata"), text, group.root)


def _check_exists(path: str, name: str) -> None:
    if not os.path.isdir(path):
        raise LaunchError(
            f"cannot use the class {name!r} of intelRdt",
            cause="clos dir not accessible (must be pre-created when schemata, l3CacheSchema and"
            f" memBwSchema are empty): {path!r} does not exist",
            remedy="create it, or say what its shares are",
        )


def _check_same(path: str, lines: tuple[str, ...]) -> None:
    """Refuse a class that others have made with other shares."""
    present = _shares(_read(os.path.join(path, "schemata")))
    differing = sorted(
        f"{resource}:{domain}"
        for (resource, domain), value in _shares("\n".join(lines)).items()
        if present.get((resource, domain)) != value
    )
    if differing:
        raise LaunchError(
            f"cannot use the class {path!r} of resctrl",
            cause=f"it exists with other shares of {', '.join(differing)}",
            remedy="ask for what it has, or for a class of another name",
        )


def _shares(text: str) -> dict[tuple[str, str], str]:
    """Return the value of each resource in each domain, without what does not count in them."""
    found = {}
    for line in text.splitlines():
        resource, _, domains = line.partition(":")
        for one in domains.split(";"):
            domain, _, value = one.partition("=")
            key = (resource.strip(), domain.strip().lstrip("0") or "0")
            found[key] = value.strip().lower().lstrip("0") or "0"
    return found


def _make(path: str, root: str, made: list[str]) -> None:
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    except OSError as error:
        raise _refused(path, error, root) from error
    made.append(path)


def _write(path: str, text: str, root: str) -> None:
    from nestbox.kernel.writing import write_file

    try:
        write_file(path, text)
    except OSError as error:
        raise _refused(path, error, root) from error


def _refused(path: str, error: OSError, root: str) -> LaunchError:
    """Return the error with the kernel's own words, which it keeps for the last command."""
    try:
        told = _read(os.path.join(root, "info", "last_cmd_status"))
    except LaunchError:
        told = ""
    status = f", last_cmd_status: {told}" if told and told != "ok" else ""
    return LaunchError(
        f"intelrdt: cannot write {path!r}",
        cause=f"{reason(error)}{status}",
        remedy="compare it with the machine's limits in info/ of resctrl",
    )


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode(errors="replace").strip()
    except OSError as error:
        raise LaunchError(
            f"cannot read {path!r}",
            cause=reason(error),
            remedy="see what became of the file system resctrl",
        ) from error


def statistics(path: str, root: str) -> dict[str, Any]:
    """Return the shares and the use of a class or a monitoring group, with runc's names.

    Raises:
        LaunchError: it went, or it is none.
    """
    of_class = path
    if os.path.basename(os.path.dirname(path)) == _MONITORING:
        of_class = os.path.dirname(os.path.dirname(path))
    schemata = [line.strip() for line in _read(os.path.join(of_class, "schemata")).splitlines()]
    root_schemata = _read(os.path.join(root, "schemata")).splitlines()
    found: dict[str, Any] = {}
    if os.path.isdir(f"{root}/info/L3"):
        found["l3_cache_info"] = _limits(f"{root}/info/L3", ("min_cbm_bits", "num_closids")) | {
            "cbm_mask": _read(f"{root}/info/L3/cbm_mask")
        }
        found |= _schemas("l3_cache_schema", "L3", schemata, root_schemata)
    if os.path.isdir(f"{root}/info/MB"):
        numbers = ("bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids")
        found["mem_bw_info"] = _limits(f"{root}/info/MB", numbers)
        found |= _schemas("mem_bw_schema", "MB", schemata, root_schemata)
    found["schemata"] = schemata
    own = os.path.join(path, _MONITORING, os.path.basename(path))
    return found | _use(own if os.path.isdir(own) else path, root)


def _limits(directory: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: int(_read(os.path.join(directory, name))) for name in names}


def _schemas(name: str, resource: str, own: list[str], root: list[str]) -> dict[str, str]:
    """Return the last line about a resource, of the class and of the root."""
    lines = {name: own, f"{name}_root": root}
    return {
        key: found[-1]
        for key, texts in lines.items()
        if (found := [line.strip() for line in texts if resource in line])
    }


def _use(path: str, root: str) -> dict[str, list[dict[str, int]]]:
    """Return what was counted in each domain, of what the machine counts."""
    features = f"{root}/info/L3_MON/mon_features"
    if not os.path.exists(features):
        return {}
    counted = [name for name in _read(features).split() if name in _FEATURES]
    found: dict[str, list[dict[str, int]]] = {}
    for domain in sorted(os.listdir(os.path.join(path, "mon_data"))):
        for member in sorted({_FEATURES[name] for name in counted}):
            names = tuple(name for name in counted if _FEATURES[name] == member)
            counts = _limits(os.path.join(path, "mon_data", domain), names)
            found.setdefault(member, []).append(counts)
    return found
