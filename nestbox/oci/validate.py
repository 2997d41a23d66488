"""What the runtime specification rules out in a configuration, all of it at once.

Each check is a function from a configuration to the problems that it finds. What depends on the
machine (SELinux is off, no such cgroup controller) is not asked here but where facts are known.

Source: runtime-spec 1.3, config.md and config-linux.md.
"""

from __future__ import annotations

from nestbox.errors import ConfigError
from nestbox.oci.case import Case
from nestbox.oci.hooks import HOOK_KINDS, hooks_of
from nestbox.oci.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nestbox.oci.config import Config
    from nestbox.oci.process import Process
    from nestbox.oci.resources import LinuxResources

    Check = Callable[[Case], Iterator[Problem]]


def _version(case: Case) -> Iterator[Problem]:
    version = case.config.oci_version
    if not is_version(version):
        yield Problem(
            place="$.ociVersion",
            cause=f"{version!r} is no version of the specification" if version else "must be there",
            remedy="write 1.0.0 or later",
        )
    elif not version.startswith("1."):
        yield Problem(
            place="$.ociVersion",
            cause=f"unsupported version {version!r}",
            remedy="use a configuration of version 1",
        )


def is_version(text: str) -> bool:
    """Return whether a text is a version as Semantic Versioning 2.0.0 defines it."""
    text, plus, build = text.partition("+")
    core, dash, release = text.partition("-")
    numbers = core.split(".")
    if len(numbers) != 3 or not all(_is_number(number) for number in numbers):
        return False
    if plus and not all(_is_identifier(part) for part in build.split(".")):
        return False
    return not dash or all(
        _is_identifier(part) and (_is_number(part) or not part.isdecimal())
        for part in release.split(".")
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and (text == "0" or not text.startswith("0"))


def _is_identifier(text: str) -> bool:
    return text.isascii() and text.replace("-", "0").isalnum()


def _process(case: Case) -> Iterator[Problem]:
    if case.config.has_process:
        yield from find_process_problems(case.config.process)


def _resources(case: Case) -> Iterator[Problem]:
    resources = case.config.linux.resources
    if resources:
        yield from find_resource_problems(resources)


def _hooks(case: Case) -> Iterator[Problem]:
    for kind in HOOK_KINDS:
        for index, hook in enumerate(hooks_of(case.config.hooks, kind)):
            place = f"$.hooks.{kind}[{index}]"
            if not hook.path.startswith("/"):
                yield Problem(place=f"{place}.path", cause=f"{hook.path!r} is not absolute")
            if hook.timeout is not None and hook.timeout <= 0:
                yield Problem(place=f"{place}.timeout", cause="must be greater than zero")


def _annotations(case: Case) -> Iterator[Problem]:
    if "" in case.config.annotations:
        yield Problem(place="$.annotations", cause="a key must not be empty")


def _checks() -> tuple[Check, ...]:
    """Return the checks of a whole configuration; `exec` needs none of their modules."""
    from nestbox.oci import check_linux, check_mounts, check_namespaces
    from nestbox.oci.check_sysctls import check_sysctls

    return (
        _version,
        check_mounts.check_root,
        _process,
        check_namespaces.check_names,
        check_mounts.check_mounts,
        _hooks,
        _annotations,
        check_namespaces.check_namespaces,
        check_namespaces.check_user_namespace,
        check_namespaces.check_time_namespace,
        check_namespaces.check_net_devices,
        check_namespaces.check_paths,
        check_sysctls,
        _resources,
        check_linux.check_devices,
        check_linux.check_seccomp,
        check_linux.check_rootfs_propagation,
        check_linux.check_intel_rdt,
        check_linux.check_memory_policy,
        check_linux.check_personality,
    )


def find_problems(config: Config, *, joins_own_network: bool = False) -> tuple[Problem, ...]:
    """Return what is wrong with a configuration, in the order of the checks.

    Args:
        config: the configuration.
        joins_own_network: the network namespace that it joins is the one the runtime is in.
    """
    return _run(_checks(), Case(config=config, joins_own_network=joins_own_network))


def find_warnings(config: Config) -> tuple[Problem, ...]:
    """Return what is deprecated or without effect, and no reason to refuse."""
    from nestbox.oci.check_linux import warn_linux
    from nestbox.oci.check_mounts import warn_mounts

    return _run((warn_mounts, warn_linux), Case(config=config))


def find_process_problems(process: Process) -> tuple[Problem, ...]:
    """Return what is wrong with the process of an ``exec``; places begin with ``$.process``."""
    from nestbox.oci.check_process import PROCESS_CHECKS

    return tuple(found for check in PROCESS_CHECKS for found in check(process))


def find_resource_problems(resources: LinuxResources) -> tuple[Problem, ...]:
    """Return what is wrong with the limits of an ``update``; places are those of a config.json."""
    from nestbox.oci.check_resources import RESOURCE_CHECKS

    return tuple(found for check in RESOURCE_CHECKS for found in check(resources))


def refuse(problems: Iterable[Problem], *, source: str) -> None:
    """Raise one error that tells all problems, if there are any.

    Raises:
        ConfigError: there are.
    """
    found = tuple(problems)
    if not found:
        return
    raise ConfigError(
        f"invalid configuration {source!r}",
        cause="; ".join(str(one) for one in found),
        remedy="; ".join(dict.fromkeys(one.remedy for one in found)),
    )


def _run(checks: tuple[Check, ...], case: Case) -> tuple[Problem, ...]:
    return tuple(found for check in checks for found in check(case))
