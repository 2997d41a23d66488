"""What has to be known of a root whose changes are thrown away, beyond what each root tells."""

from __future__ import annotations

import msgspec

from nestbox.outer.facts import OuterEnvironment, RootFacts
from nestbox.policy.profile import Profile
from nestbox.policy.request import THROWN_AWAY, RootKind, RunRequest

_ANY = 1 << 31  # of entries: the bytes alone are limited


def with_parts(
    root: RootFacts, request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> RootFacts:
    """Return the facts of a root with its size and directories, as far as the rung needs them.

    Raises:
        UsageError: ``--userns`` is malformed.
    """
    if request.root.kind is not RootKind.HOST and request.root.mode not in THROWN_AWAY:
        return root
    from nestbox.policy.root import maps_own_ids, place_of
    from nestbox.policy.root_ladder import COPY_LIMIT_ENTRIES, wants_parts, wants_size
    from nestbox.policy.root_place import Separation
    from nestbox.policy.userns import decide_user_namespace

    user_namespace = decide_user_namespace(request, profile, environment)
    place = place_of(
        request,
        environment,
        root,
        Separation(
            new_user_namespace=user_namespace.new,
            own_ids=maps_own_ids(user_namespace, environment),
        ),
    )
    size = wants_size(place)
    if size:
        from nestbox.outer.root_tree import CountLimit, measure

        named = request.root.mode in THROWN_AWAY
        limit = CountLimit(size=size, entries=_ANY if named else COPY_LIMIT_ENTRIES)
        root = msgspec.structs.replace(root, size=measure(root.directory, limit))
        place = msgspec.structs.replace(place, root=root)
    above, counted = wants_parts(place)
    if above or counted:
        from nestbox.outer.root_tree import CountLimit, observe_tree
        from nestbox.policy.host_mounts import OWN
        from nestbox.policy.root_parts import PART_LIMIT_BYTES, PART_LIMIT_ENTRIES

        limit = CountLimit(size=PART_LIMIT_BYTES, entries=PART_LIMIT_ENTRIES)
        root = msgspec.structs.replace(
            root, tree=observe_tree(root.directory, above, counted, limit, left_out=OWN)
        )
    return root
