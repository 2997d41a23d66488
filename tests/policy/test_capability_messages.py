"""The refusal, the notices, where a capability was lost and what gives it back."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.kernel.capabilities import BY_NAME, LAST_KNOWN, mask_up_to
from nestbox.outer.facts import (
    Ancestor,
    Capabilities,
    CapabilitySets,
    Engine,
    EngineKind,
    Identity,
    OuterEnvironment,
    Program,
)
from nestbox.policy.capabilities import decide_capabilities
from nestbox.policy.capability_messages import absent_line, exec_line, notice_lines, refusal
from nestbox.policy.capability_remedies import lost_at, remedy
from nestbox.policy.capability_wish import CapabilityAsk
from nestbox.policy.decision import CapabilityCause
from nestbox.policy.profile import CapabilityGrant

FULL = mask_up_to(LAST_KNOWN)
BOOT, MODULE, RESOURCE = (
    1 << BY_NAME[f"CAP_SYS_{name}"] for name in ("BOOT", "MODULE", "RESOURCE")
)


def sets(bounding: int, permitted: int | None = None) -> CapabilitySets:
    permitted = bounding if permitted is None else permitted
    return CapabilitySets(
        inheritable=0, permitted=permitted, effective=permitted, bounding=bounding, ambient=0
    )


def ancestor(pid: int, name: str, bounding: int, permitted: int | None = None) -> Ancestor:
    return Ancestor(
        pid=pid,
        name=name,
        sets=sets(bounding, permitted),
        no_new_privs=False,
        seccomp_mode=0,
        user_namespace=None,
    )


def outer(
    bounding: int,
    *chain: Ancestor,
    engine: EngineKind = EngineKind.UNKNOWN,
    permitted: int | None = None,
) -> OuterEnvironment:
    """Return an environment; the chain is from our parent to PID 1."""
    return OuterEnvironment(
        capabilities=Capabilities(
            sets=sets(bounding, permitted), last=LAST_KNOWN, securebits=0, no_new_privs=False
        ),
        ancestry=chain,
        identity=Identity(uid=0, gid=0, groups=(), pid=1234, umask=0o022),
        engine=Engine(kind=engine, evidence=(), runner=None),
    )


ASK = CapabilityAsk(base=CapabilityGrant(grant=("KILL",)), profile="default")
PRIVILEGED = CapabilityAsk(
    base=CapabilityGrant(grant=("ALL",)), profile="privileged", privileged=True
)


def test_lost_at_is_the_oldest_process_without_it() -> None:
    less = FULL & ~BOOT
    chain = (
        ancestor(900, "sh", less),
        ancestor(812, "capsh", less),
        ancestor(700, "bash", FULL),
        ancestor(1, "init", FULL),
    )
    assert lost_at(outer(less, *chain), BY_NAME["CAP_SYS_BOOT"]) == "pid 812 (capsh)"


def test_lost_at_is_told_to_be_before_pid_1_when_that_lacks_it() -> None:
    chain = (ancestor(7, "sh", 0), ancestor(1, "tini", 0))
    expected = "pid 1 (tini), before or at the start of this pid namespace"
    assert lost_at(outer(0, *chain), 5) == expected


def test_lost_at_can_be_this_process() -> None:
    assert lost_at(outer(0, ancestor(1, "init", FULL)), 5) == "pid 1234 (this process)"
    assert lost_at(outer(0), 5).startswith("pid 1 (this process), before")


def test_lost_at_is_the_last_loss_where_a_user_namespace_gave_it_back() -> None:
    chain = (ancestor(30, "sh", 0), ancestor(20, "unshare", FULL), ancestor(1, "init", 0))
    assert lost_at(outer(0, *chain), 5) == "pid 30 (sh)"


def test_lost_at_looks_at_permitted_when_asked() -> None:
    chain = (ancestor(30, "sh", FULL, 0), ancestor(1, "init", FULL))
    assert lost_at(outer(FULL, *chain, permitted=0), 5, permitted=True) == "pid 30 (sh)"


def test_lost_at_escapes_what_a_process_calls_itself() -> None:
    where = lost_at(outer(0, ancestor(9, "a\n\x1b[2Jb", 0), ancestor(1, "i", FULL)), 5)
    assert where.isprintable()


def test_lost_at_is_empty_when_nobody_looked() -> None:
    unobserved = msgspec.structs.replace(outer(0), ancestry=None)
    assert lost_at(unobserved, 5) == ""


def test_refusal_names_all_with_cause_ancestor_and_remedy() -> None:
    here = FULL & ~(BOOT | MODULE | RESOURCE)
    chain = (
        ancestor(812, "capsh", here),
        ancestor(700, "bash", FULL & ~RESOURCE),
        ancestor(1, "init", FULL & ~RESOURCE),
    )
    asked = msgspec.structs.replace(ASK, adds=("SYS_BOOT", "sys_module", "24", "BPF"))
    error = refusal(decide_capabilities(asked, outer(here, *chain, engine=EngineKind.DOCKER)))
    assert error is not None
    assert error.exit_code == 125
    assert error.what == "cannot grant CAP_SYS_MODULE, CAP_SYS_BOOT, CAP_SYS_RESOURCE"
    assert error.cause == (
        "CAP_SYS_MODULE, CAP_SYS_BOOT (--cap-add sys_module, --cap-add SYS_BOOT): not in the outer "
        f"bounding set (CapBnd {here:016x} of pid 1234), lost at pid 812 (capsh); "
        f"CAP_SYS_RESOURCE (--cap-add 24): not in the outer bounding set (CapBnd {here:016x} of "
        "pid 1234), lost at pid 1 (init), before or at the start of this pid namespace"
    )
    assert error.remedy == (
        "start nestbox from a process that has CAP_SYS_MODULE, CAP_SYS_BOOT, not below pid 812 "
        "(capsh); start the outer container with: docker run --cap-add SYS_RESOURCE; or take what "
        "there is: --cap-add sys_module? --cap-add SYS_BOOT? --cap-add 24?"
    )


def test_refusal_of_what_cannot_be_removed_names_setpcap() -> None:
    asked = msgspec.structs.replace(ASK, drops=("CHOWN",))
    error = refusal(decide_capabilities(asked, outer(0b100001, engine=EngineKind.PODMAN)))
    assert error is not None
    assert error.what == "cannot remove CAP_CHOWN"
    assert "CAP_SETPCAP is not effective" in error.cause
    assert "podman run --cap-add SETPCAP" in error.remedy
    assert "--userns auto" in error.remedy


def test_absent_line_groups_by_cause() -> None:
    here = FULL & ~(BOOT | RESOURCE)
    environment = outer(here, permitted=here & ~MODULE)
    assert absent_line(decide_capabilities(PRIVILEGED, environment), "web") == (
        "nestbox: privileged without CAP_SYS_MODULE (not in the outer permitted set), "
        "CAP_SYS_BOOT, CAP_SYS_RESOURCE (not in the outer bounding set) (nestbox explain web)"
    )


def test_absent_line_is_none_when_nothing_is_absent() -> None:
    assert absent_line(decide_capabilities(PRIVILEGED, outer(FULL))) is None
    assert notice_lines(decide_capabilities(PRIVILEGED, outer(FULL))) == ()


@pytest.mark.parametrize("engine", EngineKind)
def test_every_engine_has_a_remedy_that_names_the_capability(engine: EngineKind) -> None:
    text = remedy(
        CapabilityCause.NOT_IN_OUTER_BOUNDING,
        ("CAP_SYS_PTRACE", "CAP_BPF"),
        where="pid 1 (init), before or at the start of this pid namespace",
        engine=engine,
    )
    assert "sys_ptrace" in text.lower()
    assert "bpf" in text.lower()
    assert "{" not in text


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (EngineKind.KUBERNETES, "securityContext.capabilities.add: [SYS_BOOT]"),
        (EngineKind.LXC, "lxc.cap.drop in the outer container's configuration: sys_boot"),
        (EngineKind.NSPAWN, "systemd-nspawn --capability=CAP_SYS_BOOT"),
        (EngineKind.NONE, "CapabilityBoundingSet=CAP_SYS_BOOT"),
        (EngineKind.TALOS, "no pod setting gives CAP_SYS_BOOT on Talos"),
        (EngineKind.FIRECRACKER, "virtual machine's init"),
    ],
)
def test_remedy_is_the_setting_of_the_engine(engine: EngineKind, expected: str) -> None:
    text = remedy(CapabilityCause.NOT_IN_OUTER_BOUNDING, ("CAP_SYS_BOOT",), where="", engine=engine)
    assert expected in text


def test_a_program_that_cannot_start_is_foretold() -> None:
    program = Program(
        path="/bin/serve",
        setuid=None,
        file_permitted=1 << BY_NAME["CAP_NET_BIND_SERVICE"] | 1 << BY_NAME["CAP_KILL"],
        file_inheritable=0,
        file_effective=True,
    )
    line = exec_line(decide_capabilities(ASK, outer(FULL)), program)
    assert line is not None
    assert "'/bin/serve' will not start (EPERM)" in line
    assert "demand CAP_NET_BIND_SERVICE, which" in line
    assert "--cap-add NET_BIND_SERVICE" in line
    asked = msgspec.structs.replace(ASK, adds=("NET_BIND_SERVICE",))
    assert exec_line(decide_capabilities(asked, outer(FULL)), program) is None
    assert exec_line(decide_capabilities(ASK, outer(FULL)), None) is None
