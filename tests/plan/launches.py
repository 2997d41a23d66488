"""Launches for the tests of plans: a plain one, and any one that hypothesis can think of."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from nestbox.outer.facts import CapabilitySets, Limit
from nestbox.plan.compile import compile_plan
from nestbox.plan.steps import LaunchPlan, LoadSeccomp
from nestbox.policy.launch_spec import (
    DeviceSpec,
    LaunchSpec,
    MountSpec,
    OverlayLayer,
    ProcessSpec,
    RootSpec,
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
    new_keyring=st.booleans(),
    files=st.just(PLAIN.files) | st.just(()),
)

filters = st.none() | st.builds(
    LoadSeccomp, program=st.binary(min_size=1, max_size=4).map(lambda word: word.ljust(8, b"\0"))
)
plans = st.builds(
    plan_of, launches, seccomp=filters, foreground=st.booleans(), wait_for_cgroup=st.booleans()
)
