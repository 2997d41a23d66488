"""The container's user namespace: none, a new one, or neither can be had. Pure.

The ladder: no new one (we have CAP_SYS_ADMIN) - a new one with many ids - a new one with one id -
refuse. ``nestbox.policy.id_maps`` has the rungs of the ids. Source: user_namespaces(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.facts import IdMap, Subject
from nestbox.policy.decision import Outcome
from nestbox.policy.id_maps import MANY_IDS, automatic_maps, explicit_maps, parse_map
from nestbox.policy.subjects import holds, need
from nestbox.policy.wish import Wish, by_flag, by_nestbox, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment, Trial
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

_SUBJECT: Final = "user-namespace"
_NEEDED: Final = ("user", "mnt", "pid", "ipc", "uts", "net", "cgroup")


class UserNamespaceChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the container gets a user namespace of its own, and with which ids."""

    new: bool
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    setgroups: bool = True  # whether setgroups(2) is allowed in it
    with_tools: bool = False  # newuidmap and newgidmap write the maps
    decisions: tuple[Decision, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the container can be had neither with nor without one."""
        return any(decision.outcome is Outcome.REFUSED for decision in self.decisions)


def decide_user_namespace(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> UserNamespaceChoice:
    """Return the user namespace of the container.

    Raises:
        UsageError: ``--userns`` is malformed.
    """
    asked = request.user_namespace
    if asked is not None:
        wish = by_flag(_SUBJECT, asked, f"--userns {asked}")
    else:
        choice = profile.user_namespace
        wish = by_profile(_SUBJECT, choice.want, profile.name, choice.policy)
    rows = None if wish.request in {"host", "auto"} else parse_map(wish.request)
    if wish.request == "host":
        return _stay(wish, environment)
    return _make(wish, environment, rows)


def _stay(wish: Wish, environment: OuterEnvironment) -> UserNamespaceChoice:
    """Return no new user namespace where we have the rights, else the lenient step down."""
    if holds(environment, "CAP_SYS_ADMIN"):
        return UserNamespaceChoice(new=False, decisions=(wish.granted("the outer one"),))
    made = _make(wish, environment, None)
    if made.refused:
        first = made.decisions[0]
        both = f"CAP_SYS_ADMIN is not in the outer effective set, and {first.cause}"
        return _refuse(wish, both, first.remedy)
    stepped = wish.short(
        "a new one",
        cause="CAP_SYS_ADMIN is not in the outer effective set, and making namespaces needs it",
        remedy="run nestbox as root with CAP_SYS_ADMIN; capabilities are power over the new "
        "user namespace only",
    )
    return msgspec.structs.replace(made, decisions=(stepped, *made.decisions[1:]))


def _make(
    wish: Wish, environment: OuterEnvironment, rows: tuple[IdMap, ...] | None
) -> UserNamespaceChoice:
    """Return a new user namespace on the best rung of ids, or the refusal."""
    maps = automatic_maps(environment) if rows is None else explicit_maps(rows, environment)
    if maps.refused:
        return _refuse(wish, maps.cause, maps.remedy)
    denial = _denial(environment)
    if denial:
        return _refuse(wish, *denial)
    decisions = [wish.granted(f"a new one, {maps.chosen}")]
    if maps.weaker:
        ids = by_nestbox(f"{_SUBJECT}.ids", f"{MANY_IDS} ids of its own")
        decisions.append(ids.short(maps.chosen, cause=maps.cause, remedy=maps.remedy))
    return UserNamespaceChoice(
        new=True,
        uid_map=maps.uid_map,
        gid_map=maps.gid_map,
        setgroups=maps.setgroups,
        with_tools=maps.with_tools,
        decisions=tuple(decisions),
    )


def _refuse(wish: Wish, cause: str, remedy: str) -> UserNamespaceChoice:
    return UserNamespaceChoice(new=False, decisions=(wish.refused(cause=cause, remedy=remedy),))


def _denial(environment: OuterEnvironment) -> tuple[str, str] | None:
    """Return why no user namespace can be made, and the remedy; None when one can."""
    namespaces = need(environment.namespaces, Subject.NAMESPACES)
    trials = namespaces.create_with_user
    failed = next((name for name in _NEEDED if name in trials and not trials[name].works), None)
    if failed is None or _is_no_evidence(trials[failed], environment):
        return None
    sysctls = need(environment.sysctls, Subject.SYSCTLS)
    if sysctls.get("user.max_user_namespaces") == "0":
        return (
            "user.max_user_namespaces is 0",
            "outside, run: sysctl -w user.max_user_namespaces=15000",
        )
    if sysctls.get("kernel.unprivileged_userns_clone") == "0":
        return (
            "kernel.unprivileged_userns_clone is 0",
            "outside, run: sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if sysctls.get("kernel.apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor restricts unprivileged user namespaces "
            "(kernel.apparmor_restrict_unprivileged_userns is 1)",
            "outside, run: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    return (
        f"a new user namespace with a {failed} namespace was tried and gave {trials[failed].error}",
        "let the outer seccomp filter and LSM allow it; for docker, start the outer container "
        "with --security-opt seccomp=unconfined",
    )


def _is_no_evidence(trial: Trial, environment: OuterEnvironment) -> bool:
    """Return whether a trial failed for a reason of its own: it maps our own id, which is 0."""
    own = need(environment.identity, Subject.IDENTITY).uid
    return trial.error == "EPERM" and own == 0 and not holds(environment, "CAP_SETFCAP")
