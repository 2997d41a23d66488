"""What comes with nestbox and doctor measures an environment by: profiles and seccomp filters."""

from __future__ import annotations

import msgspec

from nestbox.oci.seccomp_profile import SeccompProfile
from nestbox.policy.profile import Profile
from nestbox.policy.shipped_profiles import NAMES, load_shipped, seccomp_file
from nestbox.runtime.seccomp import read_profile

# The widest first, as a person asks: can I have everything, the usual, the least?
_FIRST = ("privileged", "default", "minimal")
ORDER = (*_FIRST, *(name for name in NAMES if name not in _FIRST))


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """The shipped profiles, and the seccomp filters that they name, by name."""

    profiles: tuple[Profile, ...]
    filters: dict[str, SeccompProfile]


def load_all() -> Shipped:
    """Return everything shipped, read from the package's own data.

    Raises:
        ProfileError: the build left none: this is a source tree that was not built.
    """
    profiles = load_profiles()
    wanted = {profile.seccomp.want for profile in profiles} - {"unconfined"}
    return Shipped(
        profiles=profiles, filters={name: read_profile(seccomp_file(name)) for name in wanted}
    )


def load_profiles() -> tuple[Profile, ...]:
    """Return the shipped profiles, the widest first. Raises ProfileError as above."""
    loaded = (load_shipped(name) for name in ORDER)
    return tuple(profile for profile in loaded if profile is not None)
