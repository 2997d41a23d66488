"""Launches for the tests of plans: a plain one, and any one that hypothesis can think of."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from nestbox.outer.facts import CapabilitySets, IdMap, Limit
from nestbox.plan.compile import compile_plan
from nestbox.plan.compile_exec import compile_exec
from nestbox.plan.steps import LaunchPlan, LoadSeccomp
from nestbox.policy.launch_spec import (
    CopySpec,
    DeviceSpec,
    ExecSpec,
    HookSpec,
    IdMapping,
    JoinSpec,
    LaunchSpec,
    MemoryPolicySpec,
    MountSpec,
    NetworkSpec,
    OverlayLayer,
    ProcessSpec,
    RootSpec,
    SchedulerSpec,
)

NO_SETS = CapabilitySets(inheritable=0, permitted=0, effective=0, bounding=0, ambient=0)
PROGRAM = ProcessSpec(
    argv=("true",),
    candidates=("/bin/true", "/usr/bin/true"),
    environment=("PATH=/bin", "SECRET=value"),
    working_directory="/",
    uid=0,
    gid=0,
    groups=(0, 7),
)
PROC = MountSpec(fstype="proc", source="proc", target="/proc", attributes=("nosuid", "nodev"))
DEV = MountSpec(fstype="tmpfs", source="tmpfs", target="/dev", options=(("mode", "755"),))
PTS = MountSpec(fstype="devpts", source="devpts", target="/dev/pts")
SYS = MountSpec(fstype="sysfs", source="sysfs", target="/sys", attributes=("ro",))
CGROUP = MountSpec(fstype="cgroup2", source="cgroup", target="/sys/fs/cgroup")
VOLUME = MountSpec(fstype="bind", source="/srv/data", target="/data", recursive=True)

PLAIN = LaunchSpec(
    process=PROGRAM,
    capabilities=msgspec.structs.replace(NO_SETS, permitted=0x21, effective=0x21, bounding=0x21),
    drop_bounding=0x40,
    namespaces=("mnt", "pid", "ipc", "uts", "net", "cgroup"),
    root=RootSpec(directory="/srv/root"),
    mounts=(PROC, DEV, PTS, SYS, CGROUP, VOLUME),
    devices=(
        DeviceSpec(target="/dev/null", source="/dev/null", kind="c", major=1, minor=3),
        DeviceSpec(target="/dev/zero", source=None, kind="c", major=1, minor=5),
    ),
    device_links=(("/dev/fd", "/proc/self/fd"),),
    masked_paths=("/proc/keys", "/sys/firmware"),
    readonly_paths=("/proc/sys",),
    sysctls=(("net/ipv4/ip_forward", "1"),),
    hostname="box",
    loopback=True,
    new_keyring=True,
    files=(("/etc/hosts", "127.0.0.1 localhost\n"),),
)
FILTER = LoadSeccomp(program=bytes(range(16)))


def plan_of(
    launch: LaunchSpec,
    *,
    seccomp: LoadSeccomp | None = FILTER,
    foreground: bool = True,
    wait_for_cgroup: bool = False,
) -> LaunchPlan:
    """Return the plan of a launch on a kernel with 41 capabilities."""
    return compile_plan(
        launch,
        seccomp=seccomp,
        last_capability=40,
        foreground=foreground,
        wait_for_cgroup=wait_for_cgroup,
    )


_masks = st.integers(min_value=0, max_value=(1 << 41) - 1)
_ids = st.sampled_from((0, 1000)) | st.integers(min_value=0, max_value=(1 << 32) - 2)
_words = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=8)
_paths = st.lists(_words, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
_limits = st.builds(Limit, soft=st.none() | _masks, hard=st.none() | _masks)

_processes = st.builds(
    ProcessSpec,
    argv=st.lists(_words, min_size=1, max_size=3).map(tuple),
    candidates=st.lists(_paths, min_size=1, max_size=3).map(tuple),
    environment=st.lists(_words, max_size=3).map(tuple),
    working_directory=_paths,
    uid=_ids,
    gid=_ids,
    groups=st.none() | st.lists(_ids, max_size=4).map(tuple),
    umask=st.integers(min_value=0, max_value=0o777),
    terminal=st.booleans(),
    init=st.booleans(),
    rlimits=st.lists(
        st.tuples(st.sampled_from(("RLIMIT_NOFILE", "RLIMIT_CORE")), _limits), max_size=2
    ).map(tuple),
    oom_score_adj=st.none() | st.integers(min_value=-1000, max_value=1000),
    no_new_privs=st.booleans(),
)

_roots = st.one_of(
    st.builds(RootSpec, directory=_paths, readonly=st.booleans(), nodev=st.booleans()),
    st.builds(
        RootSpec,
        directory=_paths,
        layers=st.lists(
            st.builds(OverlayLayer, lower=_paths, target=_paths), min_size=1, max_size=3
        ).map(tuple),
        upper=st.none() | _paths,
        readonly=st.booleans(),
        user_namespace_options=st.booleans(),
    ),
)

_namespaces = st.sets(st.sampled_from(("mnt", "pid", "ipc", "uts", "net", "cgroup", "user"))).map(
    lambda names: tuple(sorted(names))
)

_volumes = st.lists(
    st.builds(MountSpec, fstype=st.just("bind"), source=_paths, target=_paths), max_size=3
)
_mounts = st.builds(
    lambda cgroup, volumes: (PROC, DEV, PTS, SYS, *((CGROUP,) if cgroup else ()), *volumes),
    st.booleans(),
    _volumes,
)

launches = st.builds(
    LaunchSpec,
    process=_processes,
    capabilities=st.builds(
        CapabilitySets,
        inheritable=_masks,
        permitted=_masks,
        effective=_masks,
        bounding=_masks,
        ambient=_masks,
    ),
    drop_bounding=_masks,
    namespaces=_namespaces,
    root=_roots,
    mounts=_mounts,
    devices=st.just(PLAIN.devices),
    device_links=st.just(PLAIN.device_links),
    masked_paths=st.just(PLAIN.masked_paths) | st.just(()),
    readonly_paths=st.just(PLAIN.readonly_paths) | st.just(()),
    sysctls=st.just(PLAIN.sysctls) | st.just(()),
    hostname=st.none() | _words,
    loopback=st.booleans(),
    network=st.none() | st.just(NetworkSpec(rung="veth", program="/usr/sbin/nft")),
    new_keyring=st.booleans(),
    files=st.just(PLAIN.files) | st.just(()),
)

_hooks = st.lists(
    st.builds(
        HookSpec,
        path=_paths,
        argv=st.lists(_words, min_size=1, max_size=2).map(tuple),
        environment=st.lists(_words, max_size=2).map(tuple),
        timeout_seconds=st.none() | st.integers(min_value=1, max_value=100),
    ),
    max_size=2,
).map(tuple)
_NAMES = ("mnt", "pid", "ipc", "uts", "net", "cgroup", "user", "time")
# Of each kind of namespace: kept, made or joined.
_choices = st.fixed_dictionaries({name: st.sampled_from(("", "new", "join")) for name in _NAMES})
_rows = st.sampled_from(
    ((), (IdMap(inside=0, outside=5, count=9),), (IdMap(inside=1, outside=5, count=9),))
)


def _as_engine(launch: LaunchSpec, choice: dict[str, str], given: dict[str, object]) -> LaunchSpec:
    given = dict(given)
    process = msgspec.structs.replace(launch.process, init=False, **given.pop("process"))
    root = msgspec.structs.replace(launch.root, layers=(), **given.pop("root"))
    if root.base:
        # A root that is made is one of `nestbox run`, which has no hooks and shares no mounts.
        given |= {"create_hooks": (), "runtime_hooks": False}
        root = msgspec.structs.replace(root, outer_propagation="slave")
    return msgspec.structs.replace(
        launch,
        namespaces=tuple(name for name, what in choice.items() if what == "new"),
        joined=tuple(
            JoinSpec(namespace=name, path=f"/proc/1/ns/{name}")
            for name, what in choice.items()
            if what == "join"
        ),
        time_offsets=(("monotonic", 1, 2),) if choice["time"] == "new" else (),
        process=process,
        root=root,
        **given,
    )


_engine_processes = st.fixed_dictionaries(
    {
        "console_size": st.none() | st.just((24, 80)),
        "own_streams": st.booleans(),
        "preserved": st.integers(min_value=0, max_value=3),
        "scheduler": st.none() | st.just(SchedulerSpec(policy=3, nice=-5)),
        "io_priority": st.none() | st.just(16388),
        "affinity": st.just(()) | st.just((0, 65)),
        "memory_policy": st.none() | st.just(MemoryPolicySpec(mode=2, nodes=(0, 70))),
        "personality": st.none() | st.just(8),
        "apparmor": st.sampled_from(("", "docker-default")),
        "selinux": st.sampled_from(("", "a:b:c")),
    }
)
_engine_roots = st.fixed_dictionaries(
    {
        "entry": st.sampled_from(("pivot", "pivot", "move")),
        "outer_propagation": st.sampled_from(("slave", "rslave", "private", "rshared")),
        "propagation": st.sampled_from(("", "shared", "rslave", "unbindable")),
        "uncovered": st.just(("/proc", "/sys")),
        "base": st.sampled_from(("", "", "tmpfs", "copy", "fuse")),
        "upper": st.none() | st.just("/var/lib/nestbox/layers/x"),
        "copies": st.just(()) | st.just((CopySpec(source="/a", target="/b", plain=True, limit=9),)),
        "lenient": st.booleans(),
        "binds": st.just(())
        | st.just((MountSpec(fstype="bind", source="/a", target="/b", recursive=True),)),
    }
)
_engine_mounts = st.lists(
    st.builds(
        MountSpec,
        fstype=st.sampled_from(("bind", "tmpfs", "remount", "link", "overlay")),
        source=_paths,
        target=_paths,
        attributes=st.sampled_from(((), ("ro",), ("nosuid", "noatime"))),
        cleared=st.sampled_from(((), ("noatime",))),
        options=st.sampled_from(((), (("size", "1"),), (("lowerdir", "x" * 300), ("ro", "")))),
        propagation=st.sampled_from(("", "private", "shared")),
        recursive=st.booleans(),
        recursive_attributes=st.booleans(),
        recursive_propagation=st.booleans(),
        attributes_below=st.sampled_from(((), ("ro",))),
        copy_up=st.booleans(),
        inherit_mode=st.booleans(),
        handed_over=st.booleans(),
        id_mapping=st.none() | st.just(IdMapping()),
        label=st.sampled_from(("", "a:b:c")),
        on_proc=st.booleans(),
        follow_links=st.booleans(),
        mode=st.none() | st.just(0o700),
    ),
    max_size=3,
)
_engine_fields = st.fixed_dictionaries(
    {
        "process": _engine_processes,
        "root": _engine_roots,
        "mounts": st.builds(
            lambda own, more: (*own, *more),
            st.sampled_from(((), (PROC,), (PROC, DEV, PTS, SYS), (PROC, DEV, PTS, SYS, CGROUP))),
            _engine_mounts,
        ),
        "devices": st.just(())
        | st.just(
            (
                DeviceSpec(target="/dev/net/tun", source=None, kind="c", major=10, minor=200),
                DeviceSpec(target="/fifo", source=None, kind="p", major=0, minor=0),
            )
        ),
        "final_mounts": st.just(())
        | st.just((MountSpec(fstype="remount", source="", target="/a", attributes=("ro",)),)),
        "uid_map": _rows,
        "gid_map": _rows,
        "domainname": st.none() | _words,
        "create_hooks": _hooks,
        "start_hooks": _hooks,
        "runtime_hooks": st.booleans(),
        "network_devices": st.booleans(),
        "own_proc": st.booleans(),
        "wait_for_start": st.booleans(),
    }
)
# What an engine may hand over in its config.json.
engine_launches = st.builds(_as_engine, launches, _choices, _engine_fields)
exec_specs = st.builds(
    lambda launch: ExecSpec(
        process=launch.process,
        capabilities=launch.capabilities,
        drop_bounding=launch.drop_bounding,
        joined=launch.joined,
        root="" if any(one.namespace == "mnt" for one in launch.joined) else "/root",
        uid_map=launch.uid_map,
        gid_map=launch.gid_map,
        new_keyring=launch.new_keyring,
        own_proc=launch.own_proc,
    ),
    engine_launches,
)

filters = st.none() | st.builds(
    LoadSeccomp,
    program=st.binary(min_size=1, max_size=4).map(lambda word: word.ljust(8, b"\0")),
    listener=st.booleans(),
)
plans = st.builds(
    plan_of, launches, seccomp=filters, foreground=st.booleans(), wait_for_cgroup=st.booleans()
)
engine_plans = st.builds(
    plan_of,
    engine_launches,
    seccomp=filters,
    foreground=st.booleans(),
    wait_for_cgroup=st.booleans(),
)
exec_plans = st.builds(
    lambda spec, seccomp, foreground, wait: compile_exec(
        spec,
        seccomp=seccomp,
        last_capability=40,
        foreground=foreground,
        wait_for_cgroup=wait,
    ),
    exec_specs,
    filters,
    st.booleans(),
    st.booleans(),
)
