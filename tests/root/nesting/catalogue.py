"""The outer environments: each a few words of `description.py` put together."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tests.root.nesting.description import (
    DOCKER,
    EVERY,
    SOMEBODY,
    Cgroup,
    Dev,
    Environment,
    Filter,
    Ids,
    Proc,
    Root,
    Sys,
)

_DOCKER: Final = Environment(
    name="docker",
    about="docker run",
    capabilities=DOCKER,
    seccomp=Filter.DOCKER,
    dev=Dev.ENGINE,
    root=Root.OVERLAY,
    proc=Proc.MASKED,
    sys=Sys.READ_ONLY,
    cgroup=Cgroup.READ_ONLY,
)
_USER: Final = Environment(
    name="user", about="a user of a machine, without subordinate ids", uid=SOMEBODY
)

_ENGINES: Final = (
    _DOCKER,
    replace(
        _DOCKER,
        name="docker-sys-admin",
        about="docker run --cap-add SYS_ADMIN",
        capabilities=DOCKER | {"SYS_ADMIN"},
    ),
    replace(
        _DOCKER,
        name="docker-unconfined",
        about="docker run --security-opt seccomp=unconfined",
        seccomp=Filter.NONE,
    ),
    replace(
        _DOCKER,
        name="docker-unmasked",
        about="docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined",
        seccomp=Filter.NONE,
        proc=Proc.FRESH,
    ),
    Environment(
        name="docker-privileged",
        about="docker run --privileged",
        root=Root.OVERLAY,
    ),
    replace(
        _DOCKER,
        name="docker-user",
        about="docker run --user 1000 --security-opt seccomp=unconfined",
        uid=SOMEBODY,
        seccomp=Filter.NONE,
    ),
    replace(
        _DOCKER,
        name="pod-restricted",
        about="a Kubernetes pod of the restricted standard",
        uid=SOMEBODY,
        capabilities=frozenset(),
        no_new_privs=True,
    ),
    Environment(
        name="pod-talos",
        about="a privileged pod on Talos: no CAP_SYS_BOOT and CAP_SYS_MODULE, no user namespaces",
        capabilities=EVERY - {"SYS_BOOT", "SYS_MODULE"},
        ids=Ids.EVERY_ID,
        user_namespaces=False,
        root=Root.OVERLAY,
    ),
    Environment(
        name="rootless-engine",
        dev=Dev.ENGINE,
        about="inside a container of a rootless engine: a masked /proc in a user namespace",
        ids=Ids.EVERY_ID,
        capabilities=DOCKER | {"SYS_ADMIN"},
        proc=Proc.MASKED,
        sys=Sys.READ_ONLY,
        cgroup=Cgroup.READ_ONLY,
    ),
)

_CAPABILITIES: Final = tuple(
    Environment(name=name, about=about, capabilities=kept)
    for name, about, kept in (
        ("no-capability", "root without any capability", frozenset()),
        ("no-sys-admin", "root without CAP_SYS_ADMIN alone", EVERY - {"SYS_ADMIN"}),
        ("no-setpcap", "root that cannot cut the bounding set", EVERY - {"SETPCAP"}),
        ("no-mknod", "root without CAP_MKNOD and CAP_SYS_BOOT", EVERY - {"MKNOD", "SYS_BOOT"}),
        ("no-setuid", "root without CAP_SETUID and CAP_SETGID", EVERY - {"SETUID", "SETGID"}),
        ("no-net-admin", "root without CAP_NET_ADMIN", EVERY - {"NET_ADMIN"}),
        (
            "no-setfcap",
            "root without CAP_SYS_ADMIN and CAP_SETFCAP",
            EVERY - {"SYS_ADMIN", "SETFCAP"},
        ),
        (
            "no-dac-override",
            "root that is held to the permissions of files",
            EVERY - {"DAC_OVERRIDE", "DAC_READ_SEARCH", "CHOWN", "FOWNER"},
        ),
    )
)

_PEOPLE: Final = (
    _USER,
    replace(
        _USER,
        name="user-subordinate-ids",
        about="a user of a machine with 65536 subordinate ids and newuidmap",
        subordinate_ids=True,
    ),
    replace(
        _USER,
        name="user-no-newuidmap",
        about="subordinate ids, and newuidmap is not installed",
        subordinate_ids=True,
        hidden=("newuidmap", "newgidmap"),
    ),
    replace(
        _USER,
        name="user-nosuid",
        about="subordinate ids, and newuidmap is on a nosuid mount",
        subordinate_ids=True,
        root=Root.NOSUID,
    ),
    replace(_USER, name="user-no-new-privs", about="a user below no_new_privs", no_new_privs=True),
    replace(
        _USER,
        name="user-delegated-cgroup",
        about="a user to whom a cgroup was given",
        cgroup=Cgroup.DELEGATED,
    ),
    replace(
        _USER,
        name="user-hidepid",
        about="a user to whom /proc shows nobody else's processes",
        proc=Proc.HIDEPID,
    ),
    replace(
        _USER,
        name="user-no-user-namespaces",
        about="a user where user.max_user_namespaces is 0",
        user_namespaces=False,
    ),
    replace(
        _USER,
        name="service",
        about="a service of systemd: an ordinary user with AmbientCapabilities=, and no more",
        capabilities=DOCKER | {"SYS_ADMIN"},
        ambient=DOCKER | {"SYS_ADMIN"},
        user_namespaces=False,
    ),
    Environment(
        name="one-id",
        about="inside unshare --user --map-root-user",
        ids=Ids.ONE_ID,
    ),
    Environment(name="every-id", about="root in a user namespace with all ids", ids=Ids.EVERY_ID),
)

_PLACES: Final = (
    Environment(name="everything", about="a machine of which nothing is taken away"),
    Environment(name="overlay-root", about="root, on an overlay", root=Root.OVERLAY),
    Environment(name="read-only-root", about="a root that cannot be written", root=Root.READ_ONLY),
    Environment(name="read-only-run", about="a /run that cannot be written", run_read_only=True),
    Environment(name="noexec-tmp", about="/tmp and /run are noexec, nosuid, nodev", noexec=True),
    Environment(name="chroot", about="chroot to a directory", root=Root.JAIL),
    Environment(
        name="chroot-bare",
        about="chroot to a directory without anything mounted in it",
        root=Root.BARE_JAIL,
    ),
    Environment(name="no-proc", about="no /proc", proc=Proc.NONE),
    Environment(
        name="foreign-proc", about="the /proc of the pid namespace around", proc=Proc.MACHINE
    ),
    Environment(name="masked-proc", about="a masked /proc, and root", proc=Proc.MASKED),
    Environment(name="read-only-sys", about="a read-only /sys", sys=Sys.READ_ONLY),
    Environment(name="no-sys", about="no /sys, and so no cgroups", sys=Sys.NONE),
    Environment(name="no-cgroup", about="no cgroup file system", cgroup=Cgroup.NONE),
    Environment(
        name="read-only-cgroup", about="cgroups that cannot be written", cgroup=Cgroup.READ_ONLY
    ),
    Environment(name="no-fuse", about="no /dev/fuse and /dev/net/tun", dev=Dev.ENGINE),
    Environment(name="no-dev", about="an empty /dev", dev=Dev.NONE),
    Environment(
        name="bare-init",
        about="a machine whose init mounted nothing but /proc",
        dev=Dev.NONE,
        sys=Sys.NONE,
    ),
    Environment(
        name="noexec-no-cgroup",
        about="/tmp and /run are noexec, and no cgroup file system",
        noexec=True,
        cgroup=Cgroup.NONE,
    ),
    Environment(
        name="filter-2021",
        about="a seccomp filter that answers EPERM for clone3, close_range and faccessat2",
        seccomp=Filter.NO_CLONE3,
    ),
    Environment(
        name="filter-2019",
        about="a seccomp filter that answers EPERM for the new mount calls too",
        seccomp=Filter.OLD,
    ),
    Environment(
        name="few-resources",
        about="64 descriptors and 64 processes",
        rlimits=(("NOFILE", 64), ("NPROC", 64)),
    ),
)

ENVIRONMENTS: Final = (*_PLACES, *_CAPABILITIES, *_PEOPLE, *_ENGINES)
BY_NAME: Final = {one.name: one for one in ENVIRONMENTS}
