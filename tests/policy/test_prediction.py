"""The sets after an exec: single rules, invariants, and the kernel itself on random samples."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import shutil
import struct
import tempfile
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestbox.outer.facts import CapabilitySets, Program
from nestbox.policy.prediction import (
    SECBIT_NOROOT,
    exec_would_fail,
    missing_for_exec,
    predict_after_exec,
)

PLAIN = Program(path="/p", setuid=None, file_permitted=0, file_inheritable=0, file_effective=False)
NET = 1 << 10
KILL = 1 << 5


def sets(
    *, inheritable: int = 0, permitted: int = 0, effective: int = 0, bounding: int = 0,
    ambient: int = 0,
) -> CapabilitySets:  # fmt: skip
    return CapabilitySets(
        inheritable=inheritable,
        permitted=permitted,
        effective=effective,
        bounding=bounding,
        ambient=ambient,
    )


def program(**changes: object) -> Program:
    return msgspec.structs.replace(PLAIN, **changes)


def predict(
    before: CapabilitySets,
    what: Program | None = None,
    *,
    uid: int = 1000,
    securebits: int = 0,
    no_new_privs: bool = False,
) -> CapabilitySets:
    return predict_after_exec(
        before, uid=uid, program=what, securebits=securebits, no_new_privs=no_new_privs
    )


def test_root_regains_the_bounding_set() -> None:
    after = predict(sets(bounding=NET | KILL), uid=0)
    assert (after.permitted, after.effective) == (NET | KILL, NET | KILL)


def test_root_under_noroot_is_a_common_user() -> None:
    before = sets(bounding=NET, permitted=NET, effective=NET)
    assert predict(before, uid=0, securebits=SECBIT_NOROOT).permitted == 0


def test_no_new_privs_keeps_root_from_regaining() -> None:
    before = sets(bounding=NET | KILL, permitted=NET)
    assert predict(before, uid=0, no_new_privs=True).permitted == NET


def test_common_user_loses_all_but_ambient() -> None:
    before = sets(
        bounding=NET | KILL, permitted=NET | KILL, effective=KILL, inheritable=NET, ambient=NET
    )
    after = predict(before)
    assert (after.permitted, after.effective, after.ambient) == (NET, NET, NET)


def test_file_capabilities_are_gained_within_bounding() -> None:
    what = program(file_permitted=NET, file_effective=True)
    after = predict(sets(bounding=NET), what)
    assert (after.permitted, after.effective) == (NET, NET)
    assert predict(sets(bounding=NET), program(file_permitted=NET)).effective == 0


def test_file_inheritable_needs_our_inheritable() -> None:
    what = program(file_inheritable=NET, file_effective=True)
    assert predict(sets(bounding=NET), what).permitted == 0
    assert predict(sets(bounding=0, inheritable=NET), what).permitted == NET


def test_no_new_privs_makes_file_capabilities_void_when_permitted_is_empty() -> None:
    what = program(file_permitted=NET, file_effective=True)
    assert predict(sets(bounding=NET), what, no_new_privs=True).permitted == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"setuid": 1001},
        {"setgid": 5},
        {"has_file_capabilities": True},
        {"file_inheritable": KILL},
    ],
)
def test_set_id_and_file_capabilities_clear_ambient(changes: dict[str, object]) -> None:
    before = sets(bounding=NET, permitted=NET, inheritable=NET, ambient=NET)
    after = predict(before, program(**changes))
    assert (after.ambient, after.permitted) == (0, 0)


def test_set_user_id_root_program_gets_bounding() -> None:
    assert predict(sets(bounding=NET), program(setuid=0)).effective == NET
    assert predict(sets(bounding=NET), program(setuid=0), no_new_privs=True).effective == 0


def test_set_user_id_root_program_with_file_capabilities_gets_these_only() -> None:
    what = program(setuid=0, file_permitted=NET, file_effective=True)
    assert predict(sets(bounding=NET | KILL), what).permitted == NET


def test_root_that_runs_a_program_set_to_another_user_is_permitted_only() -> None:
    after = predict(sets(bounding=NET), program(setuid=1000), uid=0)
    assert (after.permitted, after.effective) == (NET, 0)


def test_exec_fails_when_the_file_demands_more_than_bounding() -> None:
    what = program(file_permitted=NET | KILL, file_effective=True)
    assert exec_would_fail(sets(bounding=NET), what)
    assert missing_for_exec(sets(bounding=NET), what) == KILL
    assert not exec_would_fail(sets(bounding=NET | KILL), what)
    assert not exec_would_fail(sets(bounding=NET), program(file_permitted=KILL))
    assert not exec_would_fail(sets(), None)
    inherits = program(file_permitted=NET, file_inheritable=NET, file_effective=True)
    assert not exec_would_fail(sets(inheritable=NET), inherits)


MASKS = st.integers(min_value=0, max_value=(1 << 41) - 1)
PROGRAMS = st.builds(
    Program,
    path=st.just("/p"),
    setuid=st.sampled_from([None, 0, 1000]),
    setgid=st.sampled_from([None, 7]),
    file_permitted=st.sampled_from([0, NET, NET | KILL]) | MASKS,
    file_inheritable=st.just(0) | MASKS,
    file_effective=st.booleans(),
    has_file_capabilities=st.booleans(),
)


@st.composite
def valid_sets(draw: st.DrawFn) -> CapabilitySets:
    """Draw sets that a thread can have."""
    permitted, inheritable = draw(MASKS), draw(MASKS)
    return sets(
        inheritable=inheritable,
        permitted=permitted,
        effective=permitted & draw(MASKS),
        bounding=draw(MASKS),
        ambient=permitted & inheritable & draw(MASKS),
    )


@settings(max_examples=200, deadline=None)
@given(
    before=valid_sets(),
    what=st.none() | PROGRAMS,
    uid=st.sampled_from([0, 1000, 1001]),
    securebits=st.sampled_from([0, SECBIT_NOROOT]),
    no_new_privs=st.booleans(),
)
def test_no_exec_gives_more_than_its_rules_allow(
    before: CapabilitySets, what: Program | None, uid: int, securebits: int, no_new_privs: bool
) -> None:
    after = predict(before, what, uid=uid, securebits=securebits, no_new_privs=no_new_privs)
    assert after.bounding == before.bounding
    assert after.inheritable == before.inheritable
    assert after.ambient in (0, before.ambient)
    assert after.effective & ~after.permitted == 0
    assert after.ambient & ~after.effective == 0
    assert after.permitted & ~(before.bounding | before.inheritable | before.ambient) == 0
    assert after.effective in (after.permitted, after.ambient)
    if no_new_privs:
        assert after.permitted & ~before.permitted == 0
    if uid == 0 and not securebits and not no_new_privs:
        assert after.permitted == before.bounding | before.inheritable | after.ambient
    if what is None and (uid != 0 or securebits):
        assert after.permitted == before.ambient


# The kernel's own answer. Source: prctl(2), capset(2), linux/capability.h.
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 8, 24, 28
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 38, 47, 2
CAPABILITY_VERSION_3 = 0x20080522
VFS_REVISION_2, VFS_EFFECTIVE = 0x02000000, 1
SAMPLES = 150


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One exec to try."""

    before: CapabilitySets
    uid: int
    program: Program
    securebits: int
    no_new_privs: bool


@pytest.fixture
def shared_directory() -> Iterator[str]:
    """A directory that uid 1000 can reach, on a mount where set-id bits count."""
    directory = tempfile.mkdtemp(prefix="nestbox-prediction-")
    os.chmod(directory, 0o755)
    yield directory
    shutil.rmtree(directory)


def _sets_of(text: bytes) -> CapabilitySets:
    values = dict(line.split(b":\t") for line in text.splitlines())
    return sets(
        inheritable=int(values[b"CapInh"], 16),
        permitted=int(values[b"CapPrm"], 16),
        effective=int(values[b"CapEff"], 16),
        bounding=int(values[b"CapBnd"], 16),
        ambient=int(values[b"CapAmb"], 16),
    )


def _own_sets() -> CapabilitySets:
    with open("/proc/self/status", "rb") as file:
        return _sets_of(b"".join(line for line in file if line.startswith(b"Cap")))


def _draw(random_: random.Random, own: CapabilitySets) -> Sample:
    """Draw an exec that this process can set up."""
    here = own.bounding & own.permitted

    def some(of: int) -> int:
        return of & random_.choice([0, of, random_.getrandbits(64), random_.getrandbits(64)])

    bounding, permitted = some(here), some(here)
    inheritable = some(here)
    uid = random_.choice([0, 1000])
    file_permitted = some(random_.choice([here, bounding]))
    file_inheritable = some(here)
    effective = random_.random() < 0.5
    return Sample(
        before=sets(
            inheritable=inheritable,
            permitted=permitted,
            effective=some(permitted),
            bounding=bounding,
            ambient=some(permitted & inheritable),
        ),
        uid=uid,
        program=Program(
            path="/p",
            setuid=random_.choice([None, None, 0, 1000]),
            setgid=random_.choice([None, None, None, 7]),
            file_permitted=file_permitted,
            file_inheritable=file_inheritable,
            file_effective=effective,
            has_file_capabilities=True,
        )
        if random_.random() < 0.6
        else program(setuid=random_.choice([None, 0, 1000])),
        securebits=random_.choice([0, 0, SECBIT_NOROOT]),
        no_new_privs=random_.random() < 0.3,
    )


def _make_program(path: str, what: Program) -> None:
    shutil.copy("/bin/grep", path)
    os.chown(path, what.setuid or 0, what.setgid or 0)
    setuid = 0o4000 if what.setuid is not None else 0
    os.chmod(path, 0o755 | setuid | (0o2000 if what.setgid is not None else 0))
    if what.has_file_capabilities:
        flags = VFS_REVISION_2 | (VFS_EFFECTIVE if what.file_effective else 0)
        low, high = what.file_permitted & 0xFFFFFFFF, what.file_permitted >> 32
        inh_low, inh_high = what.file_inheritable & 0xFFFFFFFF, what.file_inheritable >> 32
        data = struct.pack("<5I", flags, low, inh_low, high, inh_high)
        os.setxattr(path, "security.capability", data)


def _become(libc: ctypes.CDLL, sample: Sample, own: CapabilitySets, last: int) -> None:
    """Take the sample's sets in a child; every call must succeed."""

    def check(result: int) -> None:
        if result < 0:
            raise OSError(ctypes.get_errno(), "setting up the sample")

    def capset(effective: int, permitted: int, inheritable: int) -> None:
        header = struct.pack("<Ii", CAPABILITY_VERSION_3, 0)
        words = (effective, permitted, inheritable)
        low, high = [word & 0xFFFFFFFF for word in words], [word >> 32 for word in words]
        check(libc.capset(header, struct.pack("<6I", *low, *high)))

    before = sample.before
    # Inheritable first: it may hold what the bounding set then loses, but not the other way round.
    capset(own.effective, own.permitted, before.inheritable)
    for number in range(last + 1):
        if not before.bounding >> number & 1:
            check(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
    check(libc.prctl(PR_SET_SECUREBITS, sample.securebits, 0, 0, 0))
    check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(sample.uid, sample.uid, sample.uid)
    os.setresuid(sample.uid, sample.uid, sample.uid)
    capset(before.effective, before.permitted, before.inheritable)
    for number in range(last + 1):
        if before.ambient >> number & 1:
            check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0))
    if sample.no_new_privs:
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _after_exec(path: str, sample: Sample, own: CapabilitySets) -> CapabilitySets | int:
    """Return the sets that the kernel gave, or the errno with which the exec failed."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/sys/kernel/cap_last_cap") as last_file:
        last = int(last_file.read())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 255
        try:
            os.dup2(write, 1)
            _become(libc, sample, own, last)
            os.execv(path, [path, "^Cap", "/proc/self/status"])
        except OSError as error:
            status = error.errno if error.filename is None else 255
        finally:
            os._exit(status)
    os.close(write)
    with open(read, "rb") as file:
        text = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code else _sets_of(text)


@pytest.mark.root
def test_the_kernel_agrees_on_random_samples(shared_directory: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: setting capability sets of a child")
    own = _own_sets()
    random_ = random.Random(20240229)
    failed = gained = 0
    for index in range(SAMPLES):
        sample = _draw(random_, own)
        path = f"{shared_directory}/{index}"
        _make_program(path, sample.program)
        seen = _after_exec(path, sample, own)
        os.unlink(path)
        if exec_would_fail(sample.before, sample.program):
            assert seen == errno.EPERM, sample
            failed += 1
            continue
        expected = predict(
            sample.before,
            sample.program,
            uid=sample.uid,
            securebits=sample.securebits,
            no_new_privs=sample.no_new_privs,
        )
        assert seen == expected, sample
        gained += expected.effective != 0
    # The samples are of use only if they reach both ends.
    assert failed > 5
    assert gained > 20
