"""Paths inside the container: cleaned, masked, read-only; where a program is looked for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError
from nestbox.outer.derived import is_below
from nestbox.policy.wish import by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest


_UNCOVER: Final = (
    "give the outer container unmasked /proc and /sys; for docker, with --security-opt "
    "systempaths=unconfined"
)


def clean(path: str, *, what: str) -> str:
    """Return an absolute path without ``.``, ``..`` and doubled slashes, resolved as text.

    Raises:
        UsageError: it is relative, or a ``..`` leads above the root.
    """
    if not path.startswith("/"):
        raise UsageError(
            f"{what} {path!r}",
            cause="it is not an absolute path",
            remedy="begin it with /",
        )
    parts: list[str] = []
    for part in path.split("/"):
        if part in {"", "."}:
            continue
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise UsageError(
                f"{what} {path!r}",
                cause="its .. leads out of the container's root",
                remedy="give the path without ..",
            )
    return "/" + "/".join(parts)


def depth(path: str) -> int:
    """Return how many components a clean path has; 0 for the root."""
    return path.count("/") if path != "/" else 0


def candidates(command: str, working_directory: str, search: str) -> tuple[str, ...]:
    """Return the paths at which the container's program is tried, in order.

    A name with a slash is a path, from the working directory when it is relative; any other is
    looked for in each absolute directory of ``search``, the container's PATH. Source: execvp(3),
    except that an empty or relative directory of PATH is skipped, as it means the present one.
    """
    if command.startswith("/"):
        return (command,)
    if "/" in command:
        return (f"{working_directory.rstrip('/')}/{command}",)
    directories = dict.fromkeys(item for item in search.split(":") if item.startswith("/"))
    return tuple(f"{directory.rstrip('/')}/{command}" for directory in directories)


def decide_masks(
    request: RunRequest, profile: Profile, *, covered: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Decision, ...]]:
    """Return the masked paths, the read-only paths, and the decisions about both.

    ``covered`` are paths that stay covered whatever is asked, as they come from outside.
    """
    masks, unmasks = request.security.mask, request.security.unmask
    if "ALL" in unmasks:
        masked: tuple[str, ...] = ()
        readonly: tuple[str, ...] = ()
    else:
        masked = tuple(path for path in profile.masked_paths if not _lifted(path, unmasks))
        readonly = tuple(path for path in profile.readonly_paths if not _lifted(path, unmasks))
    asked = tuple(clean(path, what="--security-opt mask") for path in masks)
    masked = tuple(dict.fromkeys((*masked, *asked)))
    decisions = [
        by_profile("masked-paths", f"{len(profile.masked_paths)} paths", profile.name).granted(
            _count(masked, "masked")
        ),
        by_profile("readonly-paths", f"{len(profile.readonly_paths)} paths", profile.name).granted(
            _count(readonly, "read-only")
        ),
    ]
    decisions += [
        by_flag(f"mask {path}", path, f"--security-opt mask={path}").granted("masked")
        for path in asked
    ]
    decisions += [_unmask(path, profile, covered) for path in unmasks]
    left = tuple(path for path in covered if not _hides(path, (*masked, *readonly)))
    if left and not unmasks:
        decisions.append(_left_covered(left, profile))
    return masked, readonly, tuple(decisions)


def _hides(path: str, paths: tuple[str, ...]) -> bool:
    """Return whether the container covers the path itself, or what it lies in."""
    return any(is_below(path, one) for one in paths)


def _left_covered(left: tuple[str, ...], profile: Profile) -> Decision:
    """Return that more is covered than was asked for."""
    return by_profile("outer-masks", "no other path is covered", profile.name).short(
        f"{len(left)} more, as they are outside",
        cause=f"what is bound from outside has these covered: {', '.join(left)}",
        remedy=_UNCOVER,
    )


def _count(paths: tuple[str, ...], how: str) -> str:
    return f"{len(paths)} {how}" if paths else "none"


def _lifted(path: str, unmasks: tuple[str, ...]) -> bool:
    """Return whether some ``unmask=`` names the path, itself or by ``/proc/*``."""
    return any(
        path == item.rstrip("/") or (item.endswith("*") and path.startswith(item[:-1]))
        for item in unmasks
    )


def _unmask(item: str, profile: Profile, outside: tuple[str, ...]) -> Decision:
    wish = by_flag(f"unmask {item}", item, f"--security-opt unmask={item}")
    left = tuple(path for path in outside if item == "ALL" or _lifted(path, (item,)))
    if left:
        return wish.refused(
            cause=f"what is bound from outside has these covered: {', '.join(left)}",
            remedy=_UNCOVER,
        )
    covered = (*profile.masked_paths, *profile.readonly_paths)
    if item == "ALL" or any(_lifted(path, (item,)) for path in covered):
        return wish.granted("lifted")
    return wish.granted("nothing to lift", cause=f"profile {profile.name} does not cover it")
