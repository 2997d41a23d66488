"""A configuration with everything that its decisions are made from. Values and short questions."""

from __future__ import annotations

from typing import Final

import msgspec

from nestbox.oci.config import Config
from nestbox.outer.bundle_facts import BundleFacts
from nestbox.outer.facts import OuterEnvironment, RootFacts, Subject
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.options import LaunchOptions
from nestbox.policy.decision import Intent
from nestbox.policy.subjects import holds, in_initial_namespace, need
from nestbox.policy.wish import Wish

STRICT_ANNOTATION: Final = "org.nestbox.strict"


def is_strict(annotations: dict[str, str]) -> bool:
    """Return whether a container is to be refused what it cannot have in full."""
    return annotations.get(STRICT_ANNOTATION) == "true"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, the options beside it, and what was observed of machine and bundle."""

    config: Config
    options: LaunchOptions
    environment: OuterEnvironment
    root: RootFacts
    bundle: BundleFacts = BundleFacts()
    cgroups: CgroupLocation | None = None

    def has(self, kind: str) -> bool:
        """Return whether the container has a namespace of this kind that is not the runtime's."""
        return self.config.namespace(kind) is not None

    def creates(self, kind: str) -> bool:
        """Return whether the container gets a new namespace of this kind."""
        return self.config.namespace(kind) == ""

    def joins(self, kind: str) -> bool:
        """Return whether the container enters a namespace of this kind that exists already."""
        return bool(self.config.namespace(kind))

    @property
    def foreign(self) -> bool:
        """Whether the container is in another user namespace than the first one."""
        return self.has("user") or not in_initial_namespace(self.environment)

    @property
    def unprivileged(self) -> bool:
        """Whether the runtime is not root in its own user namespace."""
        return need(self.environment.identity, Subject.IDENTITY).uid != 0

    @property
    def hands_over(self) -> bool:
        """Whether the runtime opens outer files for a container that cannot reach them itself."""
        return self.has("user") and holds(self.environment, "CAP_SYS_ADMIN")

    def wish(self, subject: str, request: str, place: str) -> Wish:
        """Return a wish of the configuration: lenient, unless its annotation makes it strict."""
        strict = is_strict(self.config.annotations)
        return Wish(
            subject=subject,
            request=request,
            asked_by=f"config.json {place}",
            intent=Intent.STRICT if strict else Intent.LENIENT,
        )
