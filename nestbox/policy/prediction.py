"""The five capability sets after an exec, as the kernel will compute them. Pure.

Source: security/commoncap.c (cap_bprm_creds_from_file), capabilities(7) "Transformation of
capabilities during execve()" and "Capabilities and execution of programs by root".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.outer.facts import CapabilitySets

if TYPE_CHECKING:
    from nestbox.outer.facts import Program

# Source: include/uapi/linux/securebits.h.
SECBIT_NOROOT = 1 << 0
SECBIT_NOROOT_LOCKED = 1 << 1
SECBIT_NO_SETUID_FIXUP = 1 << 2
SECBIT_KEEP_CAPS = 1 << 4
SECBIT_KEEP_CAPS_LOCKED = 1 << 5
SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6


def predict_after_exec(
    before: CapabilitySets,
    *,
    uid: int,
    program: Program | None,
    securebits: int,
    no_new_privs: bool,
) -> CapabilitySets:
    """Return the sets of a thread with these sets and real = effective uid after it execs.

    ``uid`` and the owner of ``program`` are as seen in the thread's user namespace; a program of
    None is one without set-id bits and file capabilities. The mount of the program is taken to
    allow set-id (no ``nosuid``, and owned by this user namespace or one above), and a
    set-group-ID program to belong to a group that the thread is not in. When `exec_would_fail`
    says so there is no "after", and the answer is meaningless.
    """
    has_file_capabilities = program is not None and _has_file_capabilities(program)
    effective_uid = _effective_uid(program, uid, no_new_privs=no_new_privs)
    id_changed = effective_uid != uid or _sets_group(program, no_new_privs=no_new_privs)
    permitted, effective = 0, False
    if program is not None:
        permitted = before.bounding & program.file_permitted
        permitted |= before.inheritable & program.file_inheritable
        effective = program.file_effective
    # A set-user-ID-root program that also has file capabilities gets only these (the kernel warns).
    mixed = has_file_capabilities and effective_uid == 0 and uid != 0
    if not securebits & SECBIT_NOROOT and not mixed:
        if 0 in (uid, effective_uid):
            permitted = before.bounding | before.inheritable
        effective = effective or effective_uid == 0
    if no_new_privs:
        permitted &= before.permitted
    ambient = 0 if has_file_capabilities or id_changed else before.ambient
    permitted |= ambient
    return CapabilitySets(
        inheritable=before.inheritable,
        permitted=permitted,
        effective=permitted if effective else ambient,
        bounding=before.bounding,
        ambient=ambient,
    )


def exec_would_fail(before: CapabilitySets, program: Program | None) -> bool:
    """Return whether execve(2) would fail with EPERM because of the program's file capabilities.

    That is so when its effective bit is set and the permitted set that it would get does not hold
    all that the file has as permitted: the program is taken not to know how to run with less. Root
    and no_new_privs make no difference. Source: bprm_caps_from_vfs_caps in security/commoncap.c.
    """
    return bool(missing_for_exec(before, program))


def missing_for_exec(before: CapabilitySets, program: Program | None) -> int:
    """Return the mask of the capabilities whose absence makes the exec fail; 0 when it succeeds."""
    if program is None or not program.file_effective:
        return 0
    given = before.bounding & program.file_permitted
    given |= before.inheritable & program.file_inheritable
    return program.file_permitted & ~given


def _has_file_capabilities(program: Program) -> bool:
    """Return whether the file has the attribute security.capability, be it with empty sets."""
    return (
        program.has_file_capabilities
        or program.file_effective
        or (program.file_permitted | program.file_inheritable) != 0
    )


def _effective_uid(program: Program | None, uid: int, *, no_new_privs: bool) -> int:
    """Return the effective uid after exec; no_new_privs makes set-user-ID bits void (prctl(2))."""
    if program is None or program.setuid is None or no_new_privs:
        return uid
    return program.setuid


def _sets_group(program: Program | None, *, no_new_privs: bool) -> bool:
    """Return whether exec changes the group."""
    return program is not None and program.setgid is not None and not no_new_privs
