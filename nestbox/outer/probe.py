"""Observation of the outer environment: the only place where facts come from.

``observe`` reads exactly the subjects it is asked for. Cheap ones are read each time; what needs a
trial in a child is tried once for each environment and kept (see outer/trials.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property

import msgspec

from nestbox.kernel.capabilities import BY_NAME
from nestbox.kernel.namespaces import TABLE
from nestbox.outer import facts
from nestbox.outer.cgroups import observe_cgroup
from nestbox.outer.facts import OuterEnvironment, Subject
from nestbox.outer.identity import (
    is_chrooted,
    observe_identity,
    observe_kernel,
    observe_lsm,
    observe_user_namespace,
)
from nestbox.outer.rights import observe_capabilities
from nestbox.outer.sources import Sources, require_proc, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.outer.trials import Trials

ALL_SUBJECTS: frozenset[Subject] = frozenset(Subject)


class Observation:
    """One observation under way. An attribute is observed when it is first asked for.

    Every attribute may raise EnvironmentUnreadable.
    """

    def __init__(
        self, *, state_directory: str, all_devices: bool, environment: Mapping[str, str]
    ) -> None:
        self._state_directory = state_directory
        self._all_devices = all_devices
        self._environment = environment
        self._sources = Sources()

    @cached_property
    def kernel(self) -> facts.Kernel:
        """Which kernel runs."""
        return observe_kernel()

    @cached_property
    def capabilities(self) -> facts.Capabilities:
        """The rights of the calling thread."""
        return observe_capabilities(self._sources)

    @cached_property
    def ancestry(self) -> tuple[facts.Ancestor, ...]:
        """The visible processes above this one."""
        from nestbox.outer.ancestry import observe_ancestry

        return observe_ancestry(self._sources)

    @cached_property
    def identity(self) -> facts.Identity:
        """Our ids."""
        return observe_identity(self._sources)

    @cached_property
    def user_namespace(self) -> facts.UserNamespace:
        """The user namespace that we are in."""
        return observe_user_namespace()

    @cached_property
    def own_namespaces(self) -> dict[str, int]:
        """The inodes of our namespaces by name; a kind that the kernel lacks is absent."""
        own = {}
        for row in TABLE:
            path = f"/proc/thread-self/ns/{row.name}"
            try:
                own[row.name] = os.stat(path).st_ino
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unreadable(path, error) from error
        return own

    @cached_property
    def cgroup(self) -> facts.Cgroup:
        """The cgroup hierarchies and our place in them."""
        return observe_cgroup(self._sources, self._environment)

    @cached_property
    def fingerprint(self) -> str:
        """The key under which answers about this environment may be kept."""
        from nestbox.outer.recording import Key

        status = self._sources.status
        key = Key(
            kernel=self.kernel,
            capabilities=self.capabilities,
            identity=self.identity,
            cgroup=self.cgroup,
            own_namespaces=self.own_namespaces,
            seccomp_mode=status.seccomp or 0,
            seccomp_filters=status.seccomp_filters,
        )
        return key.digest()

    @cached_property
    def trials(self) -> Trials:
        """The trials of this environment."""
        from nestbox.outer.trials import Trials

        return Trials(self._state_directory, self.fingerprint)

    @cached_property
    def namespaces(self) -> facts.Namespaces:
        """Our namespaces, and which a child can create."""
        create, create_with_user = self.trials.namespaces()
        # The first user namespace is never refused a proc or sysfs of its own.
        mount = {} if self.user_namespace.initial else self.trials.mounts(in_user_namespace=False)
        return facts.Namespaces(
            own=self.own_namespaces,
            create=create,
            create_with_user=create_with_user,
            mount=mount,
            mount_with_user=self.trials.mounts(in_user_namespace=True),
            user_steps=self.trials.user_steps(),
            chrooted=is_chrooted(self._sources.mounts),
        )

    @cached_property
    def seccomp(self) -> facts.Seccomp:
        """The filter on this process, and how it answers what a launch needs."""
        status = self._sources.status
        holds_setgid = self.capabilities.sets.effective >> BY_NAME["CAP_SETGID"] & 1 == 1
        can_setgroups = holds_setgid and not self.user_namespace.setgroups_denied
        tried = self.trials.syscalls(can_setgroups=can_setgroups)
        fallbacks = self.trials.fallbacks(tried)
        return facts.Seccomp(
            mode=status.seccomp or 0,
            filters=status.seccomp_filters,
            syscalls={name: trial for name, trial in tried.items() if name not in fallbacks},
            fallbacks=fallbacks,
        )

    @cached_property
    def lsm(self) -> facts.Lsm:
        """Security modules and our label."""
        return observe_lsm()

    @cached_property
    def mounts(self) -> tuple[facts.Mount, ...]:
        """The mounts that we see."""
        from nestbox.outer.mount_kinds import with_kinds

        return with_kinds(self._sources.mounts)

    @cached_property
    def storage(self) -> facts.Storage:
        """What a root file system can be made from."""
        return self.trials.storage(self.mounts)

    @cached_property
    def devices(self) -> facts.Devices:
        """The nodes of /dev, and whether others can be made."""
        from nestbox.outer.devices import observe_nodes

        return facts.Devices(
            nodes=observe_nodes(everything=self._all_devices), mknod=self.trials.mknod()
        )

    @cached_property
    def sysctls(self) -> dict[str, str | None]:
        """The sysctls that gate what a launch may do."""
        from nestbox.outer.limits import observe_sysctls

        return observe_sysctls()

    @cached_property
    def limits(self) -> facts.Limits:
        """The limits of this process."""
        from nestbox.outer.limits import observe_limits

        return observe_limits()

    @cached_property
    def tools(self) -> facts.Tools:
        """Programs that a launch may call."""
        from nestbox.outer.tools import DEFAULT_PATH, observe_tools

        return observe_tools(self._environment.get("PATH", DEFAULT_PATH))

    @cached_property
    def engine(self) -> facts.Engine:
        """The engine around us."""
        from nestbox.outer.engine import identify, read_clues

        return identify(read_clues(self._sources, self.own_namespaces, self._environment))

    @cached_property
    def network(self) -> facts.Network:
        """What a network of the container's own could be made with."""
        from nestbox.outer.network import observe_network

        held = self.capabilities.sets.effective
        return observe_network(
            administrator=held >> BY_NAME["CAP_NET_ADMIN"] & 1 == 1, tried=self.trials.network
        )

    def save_trials(self) -> None:
        """Keep what was tried, if anything was."""
        if "trials" in self.__dict__:
            self.trials.save()


def observe(
    subjects: frozenset[Subject],
    *,
    state_directory: str,
    all_devices: bool = True,
    environment: Mapping[str, str] | None = None,
) -> OuterEnvironment:
    """Return the outer environment with exactly these subjects. Raises EnvironmentUnreadable.

    ``state_directory`` is where outcomes of trials are kept and where an overlay's upper layer is
    tried. Without ``all_devices`` only the usual nodes are looked at, not all of /dev.
    ``environment`` are the variables to look at (PATH, those of CI runners), ours by default.
    """
    return extend(
        OuterEnvironment(),
        subjects,
        state_directory=state_directory,
        all_devices=all_devices,
        environment=environment,
    )


def extend(
    known: OuterEnvironment,
    subjects: frozenset[Subject],
    *,
    state_directory: str,
    all_devices: bool = True,
    environment: Mapping[str, str] | None = None,
) -> OuterEnvironment:
    """Return the environment with these subjects as well; those that it has are not read again.

    Arguments and errors are those of observe().
    """
    if known.kernel is None:
        require_proc()
    observation = _continued(
        known,
        Observation(
            state_directory=state_directory,
            all_devices=all_devices,
            environment=os.environ if environment is None else environment,
        ),
    )
    new = {
        subject.value: getattr(observation, subject.value)
        for subject in Subject
        if subject in subjects and getattr(known, subject.value) is None
    }
    observation.save_trials()
    return msgspec.structs.replace(known, **new) if new else known


def fingerprint_of(known: OuterEnvironment) -> str:
    """Return the fingerprint of this environment, of which some subjects are known already.

    It is the one of recording.fingerprint. Raises EnvironmentUnreadable.
    """
    observation = Observation(state_directory="", all_devices=False, environment={})
    return _continued(known, observation).fingerprint


def _continued(known: OuterEnvironment, observation: Observation) -> Observation:
    """Return the observation with these subjects made already."""
    for subject in Subject:
        value = getattr(known, subject.value)
        if value is not None:
            observation.__dict__[subject.value] = value
    return observation
