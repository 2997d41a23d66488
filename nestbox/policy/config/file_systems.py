"""Options of a new file system, as fsconfig(2) takes them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.policy.config.namespaces import id_rows
from nestbox.policy.host_mounts import PSEUDO
from nestbox.policy.identity import is_mapped

if TYPE_CHECKING:
    from nestbox.policy.config.asked_mount import AskedMount
    from nestbox.policy.config.case import Case

# The flags that fsconfig(2) knows by their names; the others say what is so anyway, or are bits
# that only mount(2) could pass on. Source: fs/fs_context.c, common_set_sb_flag.
_FLAGS: Final = frozenset({"sync", "dirsync", "lazytime", "mand"})

# Where a read-only mount of a writable file system is all that "ro" can mean.
_SHARED: Final = PSEUDO | {"overlay", "ramfs", "tmpfs"}


def file_system_options(asked: AskedMount, case: Case) -> tuple[tuple[str, str], ...]:
    """Return the options as key and value; a flag has an empty value.

    Raises:
        UsageError: a ``uid`` or ``gid`` has no id in the container's user namespace.
    """
    mount, options = asked.mount, asked.options
    pairs = [(flag, "") for flag in options.flags if flag in _FLAGS]
    if "ro" in options.attributes.set and mount.type not in _SHARED:
        pairs.append(("ro", ""))
    for word in options.data:
        for part in _parts(word):
            key, _, value = part.partition("=")
            _check_id(key, value, asked, case)
            pairs.append((key, value))
    return tuple(pairs)


def _parts(word: str) -> tuple[str, ...]:
    """Return the options in one word; paths and quoted contexts may hold commas of their own."""
    if '"' in word or "dir=" in word:
        return (word,)
    return tuple(filter(None, word.split(",")))


def _check_id(key: str, value: str, asked: AskedMount, case: Case) -> None:
    linux = case.config.linux
    rows = {"uid": linux.uid_mappings, "gid": linux.gid_mappings}.get(key)
    if not rows or not case.creates("user") or not value.isdecimal():
        return
    if not is_mapped(int(value), id_rows(rows)):
        who = "a rootless container" if case.unprivileged else "a user namespace"
        cause = f"cannot specify {key}={value} mount option for {who} that does not map it"
        raise asked.error(cause, f"map the {key}, or leave the option out")
