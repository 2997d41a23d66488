"""``--ulimit NAME=SOFT[:HARD]`` and ``--sysctl NAME=VALUE``. Pure: text in, values out."""

from __future__ import annotations

import re
from typing import Final

from nestbox.errors import UsageError
from nestbox.policy.request import LimitRequest

_NUMBER: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_WORST_SCORE: Final = 1000  # OOM_SCORE_ADJ_MAX
_UNLIMITED: Final = frozenset({"-1", "unlimited"})


def parse_ulimit(text: str) -> LimitRequest:
    """Return one limit; without HARD it is the same as SOFT, and -1 is unlimited.

    Raises:
        UsageError: there is no such limit, or a value is no number.
    """
    from nestbox.kernel.rlimits import RLIMITS

    asked_by = f"--ulimit {text}"
    word, separator, values = text.partition("=")
    name = f"RLIMIT_{word.strip().upper().removeprefix('RLIMIT_')}"
    if name not in RLIMITS:
        raise UsageError(
            asked_by,
            cause=f"there is no resource limit {word!r}",
            remedy=_suggestion(name, list(RLIMITS)),
        )
    soft, colon, hard = values.partition(":")
    if not separator or not soft or (colon and not hard):
        raise UsageError(
            asked_by,
            cause="it has no value" if not values else "a part is empty",
            remedy=f"write --ulimit {word}=SOFT[:HARD], as in --ulimit nofile=1024:4096",
        )
    return LimitRequest(
        name=name,
        soft=_value(soft, asked_by),
        hard=_value(hard if colon else soft, asked_by),
        asked_by=asked_by,
    )


def _value(text: str, asked_by: str) -> int | None:
    if text.strip() in _UNLIMITED:
        return None
    if _NUMBER.fullmatch(text.strip()) is None:
        raise UsageError(
            asked_by,
            cause=f"{text!r} is no number",
            remedy="give numbers from 0, or unlimited",
        )
    return int(text)


def _suggestion(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0].removeprefix('RLIMIT_').lower()}?"
    return "use one of " + " ".join(each.removeprefix("RLIMIT_").lower() for each in known)


def parse_score(text: str) -> int:
    """Return the value of ``--oom-score-adj``. Source: proc_pid_oom_score_adj(5).

    Raises:
        UsageError: it is no number from -1000 to 1000.
    """
    number = int(text) if re.fullmatch(r"-?[0-9]{1,4}", text, re.ASCII) else _WORST_SCORE + 1
    if abs(number) > _WORST_SCORE:
        raise UsageError(
            f"--oom-score-adj {text}",
            cause=f"{text!r} is no number from -{_WORST_SCORE} to {_WORST_SCORE}",
            remedy="give one; 1000 is killed first, -1000 never",
        )
    return number


def parse_sysctl(text: str) -> tuple[str, str]:
    """Return the name and the value of one kernel parameter.

    Raises:
        UsageError: it has no name or no value.
    """
    name, separator, value = text.partition("=")
    if not name.strip() or not separator:
        raise UsageError(
            f"--sysctl {text}",
            cause="it has no value" if name.strip() else "it has no name",
            remedy="write --sysctl NAME=VALUE, as in --sysctl net.ipv4.ip_forward=1",
        )
    return name.strip(), value
