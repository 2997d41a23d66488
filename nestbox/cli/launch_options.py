"""The options that say what a container is, shared by `run` and `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from nestbox.cli.command import Option, root_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


_RIGHTS: Final = "Rights"
_FILES: Final = "File systems"
_PROCESS: Final = "The program"
_ISOLATION: Final = "Isolation"
_LIMITS: Final = "Limits"
_CONTAINER: Final = "The container"


def _complete_profile(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from nestbox.cli.completion import profile_names

    return profile_names(incomplete)


def _complete_capability(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from nestbox.cli.completion import capability_names

    return capability_names(incomplete)


def _complete_network(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from nestbox.cli.completion import network_names

    return network_names(incomplete)


def launch_parameters() -> list[click.Parameter]:
    """Return the parameters of a launch, in the order of the help."""
    return [
        *_rights(),
        *_file_systems(),
        *_program(),
        *_isolation(),
        *_limits(),
        *_container(),
        click.Argument(
            ["command"],
            nargs=-1,
            required=True,
            type=click.UNPROCESSED,
            metavar="[--] COMMAND [ARGUMENT]...",
        ),
    ]


def _text(names: list[str], section: str, metavar: str, help: str, **settings: Any) -> Option:
    """Return an option whose value is read later, so that the error can say more."""
    return Option(
        names, section=section, metavar=metavar, help=help, type=click.UNPROCESSED, **settings
    )


def _many(names: list[str], section: str, metavar: str, help: str, **settings: Any) -> Option:
    return _text(names, section, metavar, help, multiple=True, **settings)


def _flag(names: list[str], section: str, help: str) -> Option:
    return Option(names, section=section, is_flag=True, help=help)


def _rights() -> list[Option]:
    return [
        _text(
            ["--profile"],
            _RIGHTS,
            "PROFILE",
            "What the container gets unless another option says otherwise: a name (default, "
            "minimal, privileged, or one of /etc/nestbox/profiles) or the path of a file.",
            shell_complete=_complete_profile,
        ),
        _flag(
            ["--privileged"],
            _RIGHTS,
            "The profile privileged: everything that this environment can give.",
        ),
        _many(
            ["--cap-add"],
            _RIGHTS,
            "NAME[?],...",
            "Add capabilities, or refuse the launch; NAME? adds one if it is to be had, ALL adds "
            "what can be granted here.",
            shell_complete=_complete_capability,
        ),
        _many(
            ["--cap-drop"],
            _RIGHTS,
            "NAME,...",
            "Remove capabilities, or ALL.",
            shell_complete=_complete_capability,
        ),
        _flag(
            ["--ambient"],
            _RIGHTS,
            "For another user than root: make added capabilities ambient, so that programs "
            "without file capabilities have them.",
        ),
        _many(
            ["--security-opt"],
            _RIGHTS,
            "OPTION",
            "seccomp=FILE|unconfined, apparmor=LABEL, label=disable, no-new-privileges[=false], "
            "mask=PATH:..., unmask=ALL|PATH:..., systempaths=unconfined, writable-cgroups.",
        ),
    ]


def _file_systems() -> list[Option]:
    return [
        _text(
            ["--rootfs"],
            _FILES,
            "host|DIR[:ro|:overlay|:fuse|:copy]",
            "The root: the present one (host, where all that is written is thrown away), or a "
            "directory, read-only or below a layer that is thrown away.  [default: host]",
            default="host",
        ),
        _flag(["--read-only"], _FILES, "Make the root read-only."),
        _many(
            ["-v", "--volume"],
            _FILES,
            "SOURCE:TARGET[:OPTIONS]",
            "Mount a directory or file; a missing directory is made.",
        ),
        _many(
            ["--mount"],
            _FILES,
            "KEY=VALUE,...",
            "type=bind,source=S,target=T[,readonly][,bind-propagation=P] or "
            "type=tmpfs,target=T[,tmpfs-size=N]; the source must exist.",
        ),
        _many(["--tmpfs"], _FILES, "TARGET[:OPTIONS]", "Mount an empty tmpfs, as /cache:size=64m."),
        _text(["--shm-size"], _FILES, "SIZE", "The size of /dev/shm."),
        _many(["--device"], _FILES, "HOST[:CONTAINER][:rwm]", "Add a device."),
    ]


def _program() -> list[Option]:
    return [
        _many(
            ["-e", "--env"],
            _PROCESS,
            "NAME[=VALUE]",
            "Set a variable; NAME alone passes on the present value.",
        ),
        _many(["--env-file"], _PROCESS, "FILE", "Set the variables of a file of such lines."),
        _text(
            ["-w", "--workdir"],
            _PROCESS,
            "DIR",
            "The working directory.  [default: the present one for --rootfs host, else /]",
        ),
        _text(["-u", "--user"], _PROCESS, "USER[:GROUP]", "Run as this user, by id or name."),
        _flag(["-i", "--interactive"], _PROCESS, "Pass on standard input."),
        _flag(["-t", "--tty"], _PROCESS, "Give the program a terminal."),
        _flag(["--init"], _PROCESS, "Run an init as PID 1, which reaps what is left behind."),
    ]


def _isolation() -> list[Option]:
    return [
        _text(
            ["--network", "--net"],
            _ISOLATION,
            "KIND",
            "none (its own with loopback alone), host (the present one), private (its own with "
            "a way out, the best of the following), bridge (a link of the kernel, with address "
            "translation), pasta or slirp4netns (through that program).",
            shell_complete=_complete_network,
        ),
        _many(
            ["-p", "--publish"],
            _ISOLATION,
            "[ADDRESS:][PORT:]PORT",
            "Forward a port to one of the container's private network, as 8080:80 or "
            "127.0.0.1:5353:53/udp.",
        ),
        _text(["--hostname"], _ISOLATION, "NAME", "The host name.  [default: the container's id]"),
        _text(
            ["--pid"],
            _ISOLATION,
            "private|host",
            "A pid namespace of its own, or the launch is refused; or the present one.",
        ),
        _text(
            ["--userns"],
            _ISOLATION,
            "host|auto|keep-id|MAP",
            "The present user namespace, a new one, a new one in which your ids are the same "
            "(keep-id) or others (keep-id:uid=N,gid=N), or a new one with the ids "
            "INSIDE:OUTSIDE:COUNT,...",
        ),
        _many(
            ["--uidmap"],
            _ISOLATION,
            "INSIDE:OUTSIDE[:COUNT]",
            "A new user namespace with these user ids; group ids are the same unless --gidmap is "
            "given.",
        ),
        _many(
            ["--gidmap"],
            _ISOLATION,
            "INSIDE:OUTSIDE[:COUNT]",
            "A new user namespace with these group ids.",
        ),
        _many(["--sysctl"], _ISOLATION, "NAME=VALUE", "Set a kernel parameter of the container."),
    ]


def _limits() -> list[Option]:
    return [
        _text(["-m", "--memory"], _LIMITS, "SIZE", "At most this much memory, as 512m."),
        _text(["--cpus"], _LIMITS, "NUMBER", "At most this many processors, as 1.5."),
        _text(["--pids-limit"], _LIMITS, "NUMBER", "At most this many processes; -1 for no limit."),
        _many(
            ["--ulimit"], _LIMITS, "NAME=SOFT[:HARD]", "Set a resource limit, as nofile=1024:4096."
        ),
        _text(
            ["--oom-score-adj"],
            _LIMITS,
            "NUMBER",
            "How soon it is killed when memory is short, from -1000 (never) to 1000 (first).",
        ),
    ]


def _container() -> list[Option]:
    return [
        _text(
            ["--name"],
            _CONTAINER,
            "NAME",
            "What explain knows the container by.  [default: a random id]",
        ),
        _flag(["--rm"], _CONTAINER, "Accepted for docker's sake: a container is always removed."),
        root_option(),
    ]
