"""The profiles that come with nestbox, decoded from what the build made of ``profiles/``.

A launch reads one small JSON file here and never parses YAML. Reading package data is the one
effect in this package: what it reads is part of the program, not of the environment.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from nestbox.errors import ProfileError
from nestbox.policy.decision import Intent
from nestbox.policy.profile import CapabilityGrant, Choice, Profile, ResourceLimits

NAMES = ("default", "minimal", "privileged")

_DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shipped")


def load_shipped(name: str) -> Profile | None:
    """Return the shipped profile of this name; None when there is none of it.

    Raises:
        ProfileError: the build left none: this is a source tree that was not built.
    """
    if name not in NAMES:
        return None
    return _profile(msgspec.json.decode(_read(f"{name}.json")))


def shipped_text(name: str) -> str | None:
    """Return the YAML text of a shipped profile; None when there is none of this name.

    Raises:
        ProfileError: the build left none.
    """
    return _read(f"{name}.yaml").decode() if name in NAMES else None


def shipped_form(name: str) -> dict[str, object]:
    """Return a shipped profile as plain values, to serve as the base of another.

    Raises:
        ProfileError: the build left none.
    """
    form: dict[str, object] = msgspec.json.decode(_read(f"{name}.json"))
    return form


def seccomp_file(name: str) -> str:
    """Return the path of a shipped seccomp profile: ``default`` or ``strict``."""
    return os.path.join(_DIRECTORY, "seccomp", f"{name}.json")


def _read(file: str) -> bytes:
    """Return the bytes of a compiled file."""
    path = os.path.join(_DIRECTORY, file)
    try:
        with open(path, "rb", buffering=0) as opened:
            return opened.read()
    except OSError as error:
        raise ProfileError(
            f"cannot read the shipped profile {file}",
            cause=f"{path}: {error.strerror}",
            remedy="build nestbox: make, or pip install .",
        ) from None


def _profile(form: dict[str, Any]) -> Profile:
    """Return the profile of a compiled form, which the build has checked.

    Made by hand: before msgspec decodes a type for the first time it reads its annotations, which
    takes a millisecond that every launch would pay.
    """
    grant = dict(form["capabilities"])
    limits = dict(form["limits"])
    return Profile(
        name=form["name"],
        description=form["description"],
        capabilities=CapabilityGrant(
            **{**grant, "grant": tuple(grant["grant"]), "policy": _intent(grant)}
        ),
        user_namespace=_choice(form["user_namespace"]),
        seccomp=_choice(form["seccomp"]),
        lsm=_choice(form["lsm"]),
        devices=_choice(form["devices"]),
        network=_choice(form["network"]),
        proc=_choice(form["proc"]),
        sys=_choice(form["sys"]),
        cgroup=_choice(form["cgroup"]),
        root=_choice(form["root"]),
        masked_paths=tuple(form["masked_paths"]),
        readonly_paths=tuple(form["readonly_paths"]),
        no_new_privs=form["no_new_privs"],
        limits=ResourceLimits(**{**limits, "policy": _intent(limits)}),
        rlimits=tuple((name, value) for name, value in form["rlimits"]),
        oom_score_adj=form["oom_score_adj"],
        sysctls=tuple((name, value) for name, value in form["sysctls"]),
        source=form["source"],
    )


def _choice(form: dict[str, str]) -> Choice:
    """Return one choice of a compiled form."""
    return Choice(want=form["want"], policy=_intent(form), otherwise=form.get("otherwise", ""))


def _intent(form: dict[str, Any]) -> Intent:
    """Return the policy of a part of a compiled form."""
    return Intent(form.get("policy", Intent.LENIENT))
