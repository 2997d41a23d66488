"""Which kernel runs, and who we are on it: ids, user namespace and its maps, security label."""

from __future__ import annotations

import os
from functools import cache

from nestbox.errors import EnvironmentUnreadable
from nestbox.kernel import procfs, syscalls
from nestbox.kernel.namespaces import FLAG, INITIAL_INODE
from nestbox.outer.facts import Identity, IdMap, Kernel, Lsm, Mount, UserNamespace
from nestbox.outer.sources import Sources, read_optional, read_proc, unreadable

_PARENTS_LIMIT = 32  # the kernel nests user namespaces at most this deep


def _parse_boot_id(text: bytes) -> str:
    """Return the boot id that a file holds. Raises MalformedText."""
    boot_id = procfs.decode(text).strip()
    groups = [len(group) for group in boot_id.split("-")]
    if groups != [8, 4, 4, 4, 12] or boot_id.strip("0123456789abcdef-"):
        raise procfs.MalformedText(f"it holds {boot_id[:40]!r}, not a boot id")
    return boot_id


def parse_release(release: str) -> tuple[int, int] | None:
    """Return major and minor of a release (``"6.1.0-18-amd64"``), None for another text."""
    major, _, rest = release.partition(".")
    minor = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if not (major.isascii() and major.isdigit() and minor):
        return None
    return int(major), int(minor)


@cache
def observe_kernel() -> Kernel:
    """Return which kernel runs, read once: a process does not outlive its kernel.

    Raises EnvironmentUnreadable. Source: uname(2), random(4).
    """
    uname = os.uname()
    version = parse_release(uname.release)
    if version is None:
        raise EnvironmentUnreadable(
            "cannot tell which kernel runs",
            cause=f"uname(2) says its release is {uname.release!r}",
            remedy="run without the personality or wrapper that changes uname",
        )
    return Kernel(
        release=uname.release,
        version=version,
        machine=uname.machine,
        boot_id=read_proc("/proc/sys/kernel/random/boot_id", _parse_boot_id),
        namespaces=_kinds_of_namespaces(),
        file_systems=_file_systems(),
    )


def _file_systems() -> tuple[str, ...]:
    """Return the file systems of the kernel, modules once they are loaded; empty if it hides them.

    Source: proc_filesystems(5).
    """
    text = read_optional("/proc/filesystems")
    return tuple(line.split()[-1] for line in text.splitlines() if line.strip()) if text else ()


def _kinds_of_namespaces() -> tuple[str, ...]:
    """Return the namespaces that this kernel has; a build of it can leave out most of them."""
    directory = "/proc/thread-self/ns"
    try:
        os.stat(directory)
    except OSError as error:
        raise unreadable(directory, error) from error
    # By name: who has given up root may not list it until its next exec (proc(5), "dumpable").
    return tuple(name for name in FLAG if os.path.lexists(f"{directory}/{name}"))


def observe_identity(sources: Sources) -> Identity:
    """Return our ids; the umask is read from /proc, since umask(2) can only change it."""
    umask = sources.status.umask
    if umask is None:
        raise EnvironmentUnreadable(
            "cannot tell the umask of this process",
            cause="/proc/thread-self/status has no Umask, so the kernel is older than 4.7",
            remedy="run on a newer kernel",
        )
    return Identity(
        uid=os.geteuid(),
        gid=os.getegid(),
        groups=tuple(os.getgroups()),
        pid=os.getpid(),
        umask=umask,
    )


def _parse_map(text: bytes) -> tuple[IdMap, ...]:
    """Return the rows of an id map as facts."""
    rows = procfs.parse_id_map(text)
    return tuple(IdMap(inside=row.inside, outside=row.outside, count=row.count) for row in rows)


def _count_parents(fd: int) -> int:
    """Return how many namespaces above the one of the descriptor the kernel shows.

    Its own parents are out of sight of a process in a user namespace: NS_GET_PARENT answers EPERM.
    """
    count = 0
    current = os.dup(fd)
    try:
        while count < _PARENTS_LIMIT:
            try:
                parent = syscalls.ns_get_parent(current)
            except OSError:
                break
            os.close(current)
            current = parent
            count += 1
    finally:
        os.close(current)
    return count


def _owner_and_depth(initial: bool) -> tuple[int | None, int | None]:
    """Return the owner's uid and the depth that the kernel shows, None for what it does not.

    A namespace that is not the initial one has at least one above it, in sight or not.
    """
    if initial:
        return 0, 0
    try:
        fd = os.open("/proc/thread-self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None, None
    try:
        depth = max(1, _count_parents(fd))
        try:
            return syscalls.ns_get_owner_uid(fd), depth
        except OSError:
            return None, depth
    finally:
        os.close(fd)


def observe_user_namespace() -> UserNamespace:
    """Return the user namespace that we are in. Source: user_namespaces(7), ioctl_ns(2)."""
    inode = os.stat("/proc/thread-self/ns/user").st_ino
    initial = inode == INITIAL_INODE["user"]
    owner, depth = _owner_and_depth(initial)
    return UserNamespace(
        inode=inode,
        initial=initial,
        depth=depth,
        owner_uid=owner,
        uid_map=read_proc("/proc/thread-self/uid_map", _parse_map),
        gid_map=read_proc("/proc/thread-self/gid_map", _parse_map),
        setgroups_denied=read_optional("/proc/thread-self/setgroups") == "deny",
    )


def is_chrooted(mounts: tuple[Mount, ...]) -> bool:
    """Return whether it shows that our root directory is not the root of our mount namespace.

    It shows where no mount is at /, or where the first process has another root in the same
    namespace; a chroot into a mount shows to none but root. Source: chroot(2).
    """
    if not any(mount.target == "/" for mount in mounts):
        return True
    try:
        if os.stat("/proc/1/ns/mnt").st_ino != os.stat("/proc/thread-self/ns/mnt").st_ino:
            return False
        first, own = os.stat("/proc/1/root"), os.stat("/")
    except OSError:
        return False
    return (first.st_dev, first.st_ino) != (own.st_dev, own.st_ino)


_INFERRED = (  # where securityfs is not mounted: a file that only this module makes
    ("apparmor", "/sys/module/apparmor/parameters/enabled"),
    ("selinux", "/sys/fs/selinux/enforce"),
    ("smack", "/sys/fs/smackfs/version"),
    ("tomoyo", "/sys/kernel/security/tomoyo/version"),
)


def _active_modules() -> tuple[str, ...]:
    """Return the security modules that are active, as far as they show."""
    listed = read_optional("/sys/kernel/security/lsm")
    if listed is not None:
        return tuple(listed.split(","))
    found = [name for name, path in _INFERRED if read_optional(path) not in {None, "N"}]
    return tuple(found)


def apparmor_mode(label: str | None) -> str | None:
    """Return the mode in an AppArmor label (``"docker-default (enforce)"``), None without one."""
    if label is None:
        return None
    if label == "unconfined":
        return label
    profile, separator, mode = label.rpartition(" (")
    return mode[:-1] if profile and separator and mode.endswith(")") else None


def observe_lsm() -> Lsm:
    """Return the active security modules and our label. Source: LSM admin guide, lsm(7)."""
    active = _active_modules()
    label = read_optional("/proc/thread-self/attr/current") or None
    apparmor = None
    if "apparmor" in active:
        own = read_optional("/proc/thread-self/attr/apparmor/current") or label
        apparmor = apparmor_mode(own)
    return Lsm(active=active, label=label, apparmor_mode=apparmor)
