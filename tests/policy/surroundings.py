"""Outer environments by hand, for tests that resolve requests without a launch."""

from __future__ import annotations

from typing import Any

import msgspec

from nestbox.kernel.capabilities import BY_NAME, mask_of, mask_up_to
from nestbox.outer.facts import (
    Capabilities,
    CapabilitySets,
    Cgroup,
    CgroupAbove,
    CgroupHierarchy,
    CgroupMode,
    Device,
    Devices,
    Identity,
    IdMap,
    Kernel,
    Limit,
    Limits,
    Lsm,
    Mount,
    Namespaces,
    Network,
    OuterEnvironment,
    Resolver,
    RootFacts,
    Seccomp,
    Storage,
    Tools,
    Trial,
    UserNamespace,
)
from nestbox.policy.request import RootKind, RootMode, RootRequest, RunRequest

WORKS = Trial(error=None)
ALL = mask_up_to(40)
DOCKER = mask_of(
    tuple(
        BY_NAME[f"CAP_{name}"]
        for name in (
            "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID",
            "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
        )
    )
)  # fmt: skip
EVERY_ID = (IdMap(inside=0, outside=0, count=(1 << 32) - 1),)
ROOT = RootFacts(
    directory="/srv/root",
    passwd="root:x:0:0:root:/root:/bin/sh\n"
    "1000:x:0:0:a name of digits:/evil:/bin/sh\n"
    "alice:x:1001:1001::/home/alice:/bin/sh\n",
    group="root:x:0:\ndisk:x:6:root\nalice:x:1001:\nvideo:x:44:alice,bob\n",
    program=None,
)
PRESENT_ROOT = msgspec.structs.replace(ROOT, directory="/")
DIRECTORY = RootRequest(kind=RootKind.DIRECTORY, directory="/srv/root", mode=RootMode.DIRECT)
HOST = RootRequest(kind=RootKind.HOST, directory="/", mode=RootMode.DIRECT)


def ask(*argv: str, **fields: Any) -> RunRequest:
    """Return a request for a directory root, with these fields."""
    return RunRequest(**({"argv": argv or ("true",), "root": DIRECTORY} | fields))


def without(mask: int, *names: str) -> int:
    """Return the mask without these capabilities."""
    return mask & ~mask_of(tuple(BY_NAME[name] for name in names))


def rights(mask: int) -> Capabilities:
    """Return the capabilities of a process whose bounding and permitted sets are the mask."""
    sets = CapabilitySets(inheritable=0, permitted=mask, effective=mask, bounding=mask, ambient=0)
    return Capabilities(sets=sets, last=40, securebits=0, no_new_privs=False)


def mount(number: int, parent: int, target: str, fstype: str, **fields: Any) -> Mount:
    """Return one line of mountinfo."""
    given = {
        "device": f"0:{number}",
        "root": "/",
        "options": ("rw", "relatime"),
        "propagation": (),
        "source": fstype,
        "super_options": ("rw",),
    }
    return Mount(id=number, parent=parent, target=target, fstype=fstype, **(given | fields))


def hierarchy(*controllers: str, **fields: Any) -> CgroupHierarchy:
    """Return a writable v1 hierarchy; own cgroup ``/job``."""
    name = ",".join(controllers).removeprefix("name=") or "unified"
    given = {
        "version": 1,
        "controllers": controllers,
        "mountpoint": f"/sys/fs/cgroup/{name}",
        "path": "/job",
        "directory": f"/sys/fs/cgroup/{name}/job",
        "writable": True,
        "enabled": controllers,
        "processes": None,
    }
    return CgroupHierarchy(**(given | fields))


def v2(**fields: Any) -> Cgroup:
    """Return a machine with version 2 alone; own cgroup ``/job``, two processes in it."""
    given = {
        "version": 2,
        "mountpoint": "/sys/fs/cgroup",
        "directory": "/sys/fs/cgroup/job",
        "enabled": (),
        "processes": 2,
    }
    one = hierarchy("cpu", "memory", "pids", **(given | fields))
    return Cgroup(mode=CgroupMode.V2, hierarchies=(one,))


def namespaced(**fields: Any) -> Cgroup:
    """Return what a container sees in a cgroup namespace of its own: its cgroup is the root."""
    given = {"path": "/", "directory": "/sys/fs/cgroup", "kind": "domain", "owner": 0}
    return msgspec.structs.replace(v2(**(given | fields)), first_namespace=False)


def above(directory: str, **fields: Any) -> CgroupAbove:
    """Return a cgroup above our own that has the controllers, and processes in it."""
    given = {
        "controllers": ("cpu", "memory", "pids"),
        "enabled": (),
        "writable": True,
        "takes_controllers": False,
    }
    return CgroupAbove(directory=directory, **(given | fields))


def device(major: int, minor: int, error: str | None = None) -> Device:
    """Return a character device."""
    return Device(
        kind="c", major=major, minor=minor, mode=0o660, uid=0, gid=0, opens=Trial(error=error)
    )


_NAMESPACES = ("mnt", "pid", "ipc", "uts", "net", "cgroup", "time", "user")


def full_root() -> OuterEnvironment:
    """Return a host: uid 0 with every capability, cgroup v2, first namespaces."""
    return OuterEnvironment(
        kernel=Kernel(release="6.12.0", version=(6, 12), machine="x86_64", boot_id="b"),
        capabilities=rights(ALL),
        ancestry=(),
        identity=Identity(uid=0, gid=0, groups=(), pid=100, umask=0o022),
        user_namespace=UserNamespace(
            inode=0xEFFFFFFD,
            initial=True,
            depth=0,
            owner_uid=0,
            uid_map=EVERY_ID,
            gid_map=EVERY_ID,
            setgroups_denied=False,
        ),
        namespaces=Namespaces(
            own={"cgroup": 0xEFFFFFFB},
            create=dict.fromkeys(_NAMESPACES, WORKS),
            create_with_user=dict.fromkeys(_NAMESPACES, WORKS),
        ),
        cgroup=v2(),
        seccomp=Seccomp(mode=0, filters=0, syscalls={"keyctl": WORKS}),
        lsm=Lsm(active=("capability",), label=None, apparmor_mode=None),
        mounts=(
            mount(1, 0, "/", "ext4"),
            mount(2, 1, "/proc", "proc"),
            mount(3, 1, "/sys", "sysfs"),
            mount(4, 1, "/dev", "devtmpfs"),
            mount(5, 3, "/sys/fs/cgroup", "cgroup2"),
            mount(6, 1, "/tmp", "tmpfs", options=("rw", "nosuid", "nodev")),
        ),
        storage=Storage(
            root_fstype="ext4",
            state_directory="/run/nestbox",
            state_fstype="tmpfs",
            overlay=WORKS,
            overlay_tmpfs=WORKS,
            overlay_user=WORKS,
        ),
        devices=Devices(
            nodes={
                "/dev/null": device(1, 3),
                "/dev/zero": device(1, 5),
                "/dev/full": device(1, 7),
                "/dev/random": device(1, 8),
                "/dev/urandom": device(1, 9),
                "/dev/tty": device(5, 0),
                "/dev/fuse": device(10, 229),
                "/dev/kvm": device(10, 232),
                "/dev/tty1": device(4, 1),
                "/dev/net/tun": device(10, 200),
            },
            mknod=WORKS,
        ),
        sysctls={"user.max_user_namespaces": "15000"},
        limits=Limits(
            rlimits={
                "RLIMIT_NOFILE": Limit(soft=1024, hard=20000),
                "RLIMIT_CORE": Limit(soft=0, hard=None),
            },
            oom_score_adj=0,
            cpus=2,
            memory_total_bytes=1 << 34,
        ),
        tools=Tools(
            newuidmap=None,
            newgidmap=None,
            fuse_overlayfs=None,
            pasta=None,
            slirp4netns=None,
            subuid=(),
            subgid=(),
        ),
        network=Network(
            owned=True,
            nft="/usr/sbin/nft",
            pasta="/usr/bin/pasta",
            slirp4netns="/usr/bin/slirp4netns",
            nftables=WORKS,
            forwarding=True,
            forwarding_writable=True,
            resolver=Resolver(nameservers=("192.0.2.53",), search=("example.org",)),
        ),
    )


def reference_machine() -> OuterEnvironment:
    """Return the machine that nestbox is written on: no CAP_SYS_RESOURCE, v1 beside v2."""
    return change(
        full_root(),
        capabilities=rights(without(ALL, "CAP_SYS_RESOURCE")),
        cgroup=Cgroup(
            mode=CgroupMode.HYBRID,
            hierarchies=(
                hierarchy("cpu"),
                hierarchy("memory"),
                hierarchy("pids"),
                hierarchy("name=systemd"),
                hierarchy(
                    "hugetlb",
                    version=2,
                    mountpoint="/sys/fs/cgroup/unified",
                    directory="/sys/fs/cgroup/unified",
                    path="/",
                    enabled=(),
                    processes=50,
                ),
            ),
        ),
    )


def docker_container() -> OuterEnvironment:
    """Return a default container of docker: no CAP_SYS_ADMIN, no new user namespace."""
    denied = dict.fromkeys(_NAMESPACES, Trial(error="EPERM"))
    return change(
        full_root(),
        capabilities=rights(DOCKER),
        namespaces=Namespaces(own={}, create=denied, create_with_user=denied),
        seccomp=Seccomp(
            mode=2,
            filters=1,
            syscalls={
                "clone3": WORKS,
                "mount_setattr": Trial(error="EPERM"),
                "keyctl": Trial(error="EPERM"),
            },
        ),
        cgroup=v2(path="/", directory="/sys/fs/cgroup", writable=False),
    )


def privileged_docker() -> OuterEnvironment:
    """Return a container of ``docker run --privileged``: everything, and its own cgroup root."""
    return change(
        full_root(),
        namespaces=Namespaces(
            own={"cgroup": 4026532512},
            create=dict.fromkeys(_NAMESPACES, WORKS),
            create_with_user=dict.fromkeys(_NAMESPACES, WORKS),
        ),
        cgroup=namespaced(),
        mounts=(
            mount(1, 0, "/", "overlay"),
            mount(2, 1, "/proc", "proc"),
            mount(3, 1, "/etc/hosts", "ext4", kind="file"),
            mount(4, 1, "/var/run/docker.sock", "tmpfs", kind="socket"),
            mount(5, 1, "/data", "vfat", kind="directory"),
            mount(6, 1, "/work", "ext4", kind="directory", options=("ro", "nosuid")),
        ),
    )


def unprivileged_user() -> OuterEnvironment:
    """Return a common user, who may make user namespaces and has no subordinate ids."""
    return change(
        full_root(),
        capabilities=msgspec.structs.replace(
            rights(0), sets=msgspec.structs.replace(rights(0).sets, bounding=ALL)
        ),
        identity=Identity(uid=1000, gid=1000, groups=(1000, 27), pid=100, umask=0o022),
        cgroup=v2(writable=False),
    )


def change(environment: OuterEnvironment, **fields: Any) -> OuterEnvironment:
    """Return the environment with other facts."""
    return msgspec.structs.replace(environment, **fields)
