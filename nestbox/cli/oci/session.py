"""What holds for every command of `nestbox-runtime`: the global options, read once."""

from __future__ import annotations

import os

from nestbox.cli.oci.command import FLAG, TEXT, Option, Values
from nestbox.cli.oci.log import Log
from nestbox.errors import UsageError
from nestbox.runtime.roots import default_root, foreign_owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from nestbox.runtime.oci.requests import Options

    CgroupManager = Literal["cgroupfs", "systemd", "disabled"]

_STICKY = 0o1700  # what has the sticky bit in XDG_RUNTIME_DIR is not removed for its age


def global_options() -> tuple[Option, ...]:
    """Return the options in front of a command."""
    return (
        Option("debug", FLAG, "enable debug logging"),
        Option("log", TEXT, "write the log to a file (default: standard error)"),
        Option("log-format", TEXT, "format of the log: text or json", default="text"),
        Option("log-level", TEXT, hidden=True),
        Option("root", TEXT, "directory for the state of containers", default=_default_root()),
        Option("criu", TEXT, default="criu", hidden=True),
        Option(
            "systemd-cgroup",
            FLAG,
            'let systemd make the cgroups; cgroupsPath is then "slice:prefix:name"',
        ),
        Option("cgroup-manager", TEXT, "cgroupfs, systemd or disabled", default="cgroupfs"),
        Option(
            "rootless", TEXT, "ignore errors about cgroups: true, false or auto", default="auto"
        ),
        Option("help h", FLAG, "show help"),
        Option("version v V", FLAG, "print the version"),
    )


class Session:
    """One call of the program: its name, its log, and the global options."""

    __slots__ = ("cgroup_manager", "criu", "log", "program", "root", "root_given", "rootless")

    def __init__(self, program: str) -> None:
        self.program = program
        self.log = Log()
        self.root = ""
        self.root_given = False
        self.cgroup_manager: CgroupManager = "cgroupfs"
        self.rootless: bool | None = None
        self.criu = "criu"

    def configure(self, values: Values) -> None:
        """Take over the global options. Raises NestboxError."""
        self.log.debugging = values.flag("debug") or values.text("log-level") == "debug"
        form = values.text("log-format", "text")
        if form not in {"", "text", "json"}:
            raise UsageError(
                f"invalid log-format: {form}", cause="there is none of that name",
                remedy="use text or json",
            )  # fmt: skip
        self.log.is_json = form == "json"
        self.root_given = values.given("root")
        self.root = os.path.abspath(values.text("root")) if self.root_given else _default_root()
        self._become_owner()  # before the log: a user could have put a link in its place
        if target := values.text("log"):
            self.log.open(target)
        self._check_root()
        self._set_cgroup_manager(values)
        self.rootless = _bool_or_auto(values.text("rootless", "auto"))
        self.criu = values.text("criu") or "criu"

    def _check_root(self) -> None:
        if self.root == "/":
            raise UsageError(
                "Option --root argument should not be set to /",
                cause="every directory of the system would count as a container",
                remedy="name a directory of its own",
            )
        if not self.root_given and self.root.startswith(os.environ.get("XDG_RUNTIME_DIR") or "\0"):
            _keep_from_pruning(self.root)

    def _become_owner(self) -> None:
        """Give up root where the state directory is another user's. Raises StateError."""
        info = foreign_owner(self.root)
        if info is None:
            return
        from nestbox.runtime.acting import act_as_owner

        act_as_owner(self.root, info, os.environ)
        self.log.debug(f"acting as the user {info.st_uid}, to whom {self.root} belongs")

    def _set_cgroup_manager(self, values: Values) -> None:
        manager = values.text("cgroup-manager", "cgroupfs")
        if values.flag("systemd-cgroup"):
            manager = "systemd"
        match manager:
            case "cgroupfs" | "systemd" | "disabled":
                self.cgroup_manager = manager
            case _:
                raise UsageError(
                    f"invalid cgroup-manager: {manager}",
                    cause="there is none of that name",
                    remedy="use cgroupfs, systemd or disabled",
                )

    def options(self) -> Options:
        """Return them as the value that the library takes."""
        from nestbox.runtime.oci.requests import Options

        return Options(
            root=self.root,
            cgroup_manager=self.cgroup_manager,
            rootless=self.rootless,
            debug=self.log.debugging,
            criu=self.criu,
        )


def _default_root() -> str:
    return default_root(os.environ, os.geteuid())


def _bool_or_auto(text: str) -> bool | None:
    """Return whether it is so, None for "auto". Raises UsageError."""
    word = text.lower()
    if word in {"", "auto"}:
        return None
    if word in {"1", "t", "true"}:
        return True
    if word in {"0", "f", "false"}:
        return False
    raise UsageError(
        f"invalid value for --rootless: {text}", cause="it is none of its three values",
        remedy="use true, false or auto",
    )  # fmt: skip


def _keep_from_pruning(root: str) -> None:
    """Make the directory with the sticky bit (XDG Base Directory Specification). Raises OSError."""
    os.makedirs(root, mode=0o700, exist_ok=True)
    os.chmod(root, _STICKY)
