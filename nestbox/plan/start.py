"""How a container comes into its namespaces: some with its process, others step by step."""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.kernel.namespaces import FLAG
from nestbox.outer.facts import IdMap
from nestbox.plan.process import score_steps
from nestbox.plan.steps import (
    SLOT_NONE,
    SYNC_ID_MAPS,
    SYNC_NETWORK_NAMESPACE,
    Dumpable,
    Fork,
    Ids,
    JoinNamespaces,
    Keyring,
    Label,
    OpenNamespace,
    Rlimit,
    Step,
    Sync,
    TimeOffsets,
    Unshare,
)
from nestbox.policy.launch_spec import JoinSpec, LaunchSpec, ProcessSpec


def made_at_clone(launch: LaunchSpec) -> tuple[str, ...]:
    """Return the namespaces that are made together with the process.

    None of them if steps must come before: what is joined has to be entered with the rights of the
    outer user namespace, what is made belongs to the joined one, and the clocks of a time
    namespace are set before anyone is in it.
    """
    if _step_by_step(launch):
        return ()
    # The root of a cgroup namespace is the cgroup of its maker, which is entered later.
    return tuple(name for name in FLAG if name in launch.namespaces and name != "cgroup")


def namespace_steps(launch: LaunchSpec) -> Iterator[Step]:
    """Everything until the process is in all namespaces but the cgroup one."""
    for join in launch.joined:
        # All of them first: the mounts of another namespace have other paths.
        yield OpenNamespace(namespace=join.namespace, path=join.path)
    if _step_by_step(launch):
        yield from _one_after_another(launch)
        return
    if "user" in launch.namespaces:
        yield from _map_ids(launch)
    elif launch.network is not None:
        yield Sync(reason=SYNC_NETWORK_NAMESPACE)
    # After the maps: /proc/PID/uid_map of a process that is not dumpable belongs to root.
    yield Dumpable(value=0)
    if launch.joined:
        yield JoinNamespaces()


def _step_by_step(launch: LaunchSpec) -> bool:
    joined = {join.namespace for join in launch.joined}
    return (
        "time" in launch.namespaces
        or not joined.isdisjoint({"user", "pid"})
        or ("user" in launch.namespaces and bool(joined))
    )


def changes_user(launch: LaunchSpec) -> bool:
    """Whether a step, and not the start, brings the process into another user namespace."""
    return _step_by_step(launch) and ("user" in launch.namespaces or _joins_user(launch.joined))


def _one_after_another(launch: LaunchSpec) -> Iterator[Step]:
    new = launch.namespaces
    if changes_user(launch):
        yield from early_steps(launch.process)
    if "user" not in new:
        # Before others can see us, who may be root in a user namespace that we join.
        yield Dumpable(value=0)
    if launch.joined:
        yield JoinNamespaces()
    if "user" in new:
        # Whatever is made after it belongs to it.
        yield Unshare(namespaces=("user",))
    if "time" in new:
        yield Unshare(namespaces=("time",))
        # Before the ids change, which closes our own files in /proc to us.
        if launch.time_offsets:
            yield TimeOffsets(offsets=launch.time_offsets)
    yield from _become_root(launch)
    rest = tuple(name for name in FLAG if name in new and name not in {"cgroup", "user", "time"})
    if rest:
        yield Unshare(namespaces=rest)
    if _is_born_into(launch):
        yield Fork()


def _is_born_into(launch: LaunchSpec) -> bool:
    """Whether there is a namespace that only a child comes into: any pid one, a new time one."""
    pid = "pid" in launch.namespaces or any(x.namespace == "pid" for x in launch.joined)
    return pid or "time" in launch.namespaces


def _become_root(launch: LaunchSpec) -> Iterator[Step]:
    if "user" in launch.namespaces:
        yield from _map_ids(launch)
        yield Dumpable(value=0)
    elif _joins_user(launch.joined) and maps_root(launch.uid_map, launch.gid_map):
        yield Ids(uid=0, gid=0, groups=None if launch.process.groups is None else ())


def _map_ids(launch: LaunchSpec) -> Iterator[Step]:
    # Without maps the executor has no ids, and nothing it makes would belong to anyone.
    yield Sync(reason=SYNC_ID_MAPS)
    if launch.network is not None:
        # Before the ids change, which closes our files in /proc to all but root.
        yield Sync(reason=SYNC_NETWORK_NAMESPACE)
    # Whoever made the namespace has every right over it, also where nobody in it is root.
    yield Ids(
        uid=_first_id(launch.uid_map),
        gid=_first_id(launch.gid_map),
        groups=None if launch.process.groups is None else (),
    )


def _first_id(rows: tuple[IdMap, ...]) -> int:
    """Return the id inside with which a container is built: 0, or the lowest that exists."""
    return min((row.inside for row in rows), default=0)


def _joins_user(joined: tuple[JoinSpec, ...]) -> bool:
    return any(join.namespace == "user" for join in joined)


def maps_root(uid_map: tuple[IdMap, ...], gid_map: tuple[IdMap, ...]) -> bool:
    """Whether a user namespace has a user and a group 0, as it has when nothing is known of it."""
    return all(not rows or any(row.inside == 0 for row in rows) for rows in (uid_map, gid_map))


def early_steps(process: ProcessSpec) -> Iterator[Step]:
    """What takes rights over the whole machine, before a user namespace is entered."""
    # While our files in /proc are still ours.
    yield from score_steps(process, SLOT_NONE)
    for name, limit in process.rlimits:
        # The soft limit is lowered at the end, when nothing is opened any more.
        yield Rlimit(name=name, soft=limit.hard, hard=limit.hard)


def keyring_steps(process: ProcessSpec) -> Iterator[Step]:
    """A session keyring of the container's own, with the label of its processes."""
    if process.selinux:
        yield Label(path="self/attr/keycreate", value=process.selinux, base=SLOT_NONE)
    yield Keyring()
    if process.selinux:
        # Keys that come later are labelled as the kernel finds right.
        yield Label(path="self/attr/keycreate", value="\n", base=SLOT_NONE)
