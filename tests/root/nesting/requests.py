"""What is asked for in every environment: the three profiles, and flags that name things."""

from __future__ import annotations

from typing import Final

import msgspec

from tests.root.nesting.tree import IMAGE

WORD: Final = "alive"
_COMMAND: Final = ("--", "/bin/echo", WORD)


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One `nestbox run`; a plain one shows every decision, another what the default did not."""

    flags: tuple[str, ...]
    rootfs: str = IMAGE
    plain: bool = False

    @property
    def title(self) -> str:
        """Return the flags as they are written."""
        root = () if self.rootfs == IMAGE else ("--rootfs", self.rootfs)
        return " ".join((*self.flags, *root)) or "no flag"

    def shown(self, lines: tuple[str, ...], known: set[str]) -> list[str]:
        """Return the decisions to show: those that the default did not have, unless it is plain."""
        shown, keep = [], True
        for line in lines:
            if not line.startswith(" "):  # what is indented belongs to the decision above it
                keep = self.plain or line not in known
            if keep:
                shown.append(line)
        return shown

    @property
    def words(self) -> tuple[str, ...]:
        """Return the arguments of `nestbox run` and `nestbox plan`."""
        return (*self.flags, "--rootfs", self.rootfs, *_COMMAND)


DEFAULT: Final = Ask(flags=(), plain=True)
ASKED: Final = (
    DEFAULT,
    Ask(flags=("--profile", "minimal"), plain=True),
    Ask(flags=("--privileged",), plain=True),
    Ask(flags=(), rootfs="host"),
    *(
        Ask(flags=tuple(flags.split()))
        for flags in (
            "--cap-add SYS_ADMIN --cap-add SYS_TIME",
            "--memory 64m --pids-limit 32",
            "--device /dev/fuse",
            "--userns auto",
            "--network none",
            "--user 1000",
            "--ulimit nofile=32 --sysctl kernel.shmmax=65536",
        )
    ),
)
