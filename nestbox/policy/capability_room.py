"""What can be given here: the kernel's rules about our own capability sets, as masks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.errors import EnvironmentUnreadable
from nestbox.kernel.capabilities import BY_NAME, mask_up_to
from nestbox.policy.prediction import (
    SECBIT_KEEP_CAPS_LOCKED,
    SECBIT_NO_CAP_AMBIENT_RAISE,
    SECBIT_NO_SETUID_FIXUP,
    SECBIT_NOROOT,
    predict_after_exec,
)

if TYPE_CHECKING:
    from nestbox.outer.facts import Capabilities, OuterEnvironment

_SETPCAP = 1 << BY_NAME["CAP_SETPCAP"]


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What can be given, as masks, before anything is taken away."""

    known: int  # to the kernel
    bounding: int  # of the executor, before it is cut
    permitted: int
    inheritable: int
    available: int  # in bounding and permitted both
    can_cut: bool  # the bounding set
    user_namespace: bool  # a new one, so that everything is power over that one
    acts_as_root: bool  # an exec by the container's uid is that of root
    no_new_privs: bool
    ambient_blocker: str  # why nothing can be raised in ambient; empty when it can


def observed_capabilities(environment: OuterEnvironment) -> Capabilities:
    """Return the capability facts.

    Raises:
        EnvironmentUnreadable: they were not observed, and nothing is assumed in their place.
    """
    if environment.capabilities is None:
        raise EnvironmentUnreadable(
            "resolve capabilities",
            cause="the capability sets of the outer environment were not observed",
            remedy="record the environment again: nestbox doctor --record",
        )
    return environment.capabilities


def measure_room(
    environment: OuterEnvironment, *, uid: int, new_user_namespace: bool, no_new_privs: bool
) -> Room:
    """Return what can be given to a container whose process has the uid.

    Raises:
        EnvironmentUnreadable: the capabilities were not observed.
    """
    outer = observed_capabilities(environment)
    known = mask_up_to(outer.last)
    no_new_privs = no_new_privs or outer.no_new_privs
    if new_user_namespace:
        # Source: set_cred_user_ns in kernel/user_namespace.c: all sets full, securebits reset.
        return Room(
            known=known,
            bounding=known,
            permitted=known,
            inheritable=0,
            available=known,
            can_cut=True,
            user_namespace=True,
            acts_as_root=uid == 0,
            no_new_privs=no_new_privs,
            ambient_blocker="",
        )
    # The executor is exec'd by us before it sets anything, so it has what our own exec keeps: for
    # a nestbox that is not root that is the ambient set alone.
    held = predict_after_exec(
        outer.sets,
        uid=environment.identity.uid if environment.identity else 0,
        program=None,
        securebits=outer.securebits,
        no_new_privs=outer.no_new_privs,
    )
    permitted = outer.sets.permitted & held.permitted
    return Room(
        known=known,
        bounding=outer.sets.bounding,
        permitted=permitted,
        inheritable=outer.sets.inheritable,
        available=outer.sets.bounding & permitted & known,
        can_cut=bool(outer.sets.effective & held.effective & _SETPCAP),
        user_namespace=False,
        acts_as_root=uid == 0 and not outer.securebits & SECBIT_NOROOT,
        no_new_privs=no_new_privs,
        ambient_blocker=_ambient_blocker(outer.securebits),
    )


def _ambient_blocker(securebits: int) -> str:
    """Return which securebit keeps the ambient set of a non-root process empty."""
    if securebits & SECBIT_NO_CAP_AMBIENT_RAISE:
        return "SECBIT_NO_CAP_AMBIENT_RAISE is set"
    # Exec clears SECBIT_KEEP_CAPS, and locked it cannot be set again before the change of uid.
    if securebits & SECBIT_KEEP_CAPS_LOCKED and not securebits & SECBIT_NO_SETUID_FIXUP:
        return "SECBIT_KEEP_CAPS is locked, so they would be lost at the change of uid"
    return ""
