"""The account of a launch as text: all capabilities in a table, or one in full."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from nestbox.doctor.account import Account, CapabilityAccount, Loss, given
from nestbox.doctor.layout import cut, labelled, paragraph, plain, shortened
from nestbox.kernel.capabilities import names_in
from nestbox.policy.decision import CapabilityCause, Decision, Intent, Outcome, Scope

if TYPE_CHECKING:
    from nestbox.doctor.layout import Page
    from nestbox.doctor.outlook import Membership
    from nestbox.outer.facts import CapabilitySets
    from nestbox.policy.decision import CapabilityDecision, SetOutcome

SETS: Final = ("inheritable", "permitted", "effective", "bounding", "ambient")
_COLUMN: Final = 13
_NAME: Final = 22  # CAP_CHECKPOINT_RESTORE
_LISTED: Final = 20  # records
_OUTCOME: Final = 9  # not-asked

_LESS: Final = frozenset({Outcome.WEAKENED, Outcome.REFUSED})
_COLOURS: Final = {
    Outcome.GRANTED: "green",
    Outcome.WEAKENED: "yellow",
    Outcome.REFUSED: "red",
    Outcome.DROPPED: "dim",
    Outcome.NOT_ASKED: "dim",
}

CAUSES: Final = {
    CapabilityCause.NONE: "",
    CapabilityCause.NOT_ASKED: "nobody asked for it",
    CapabilityCause.REMOVED_BY_FLAG: "removed by flag",
    CapabilityCause.UNKNOWN_NAME: "no capability has that name",
    CapabilityCause.NEWER_THAN_KERNEL: "newer than this kernel",
    CapabilityCause.NOT_IN_OUTER_BOUNDING: "not in the outer bounding set",
    CapabilityCause.NOT_IN_OUTER_PERMITTED: "not in the outer permitted set",
    CapabilityCause.NEEDS_SETPCAP: "cannot be removed without CAP_SETPCAP",
    CapabilityCause.NOT_ROOT: "not root: only file capabilities give it",
    CapabilityCause.NOT_AMBIENT: "not asked for as ambient",
    CapabilityCause.NOT_INHERITABLE: "kept empty unless ambient asks for it",
    CapabilityCause.NO_NEW_PRIVS: "no_new_privs keeps programs from gaining it",
    CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE: "the kernel checks the initial user namespace",
    CapabilityCause.PROFILE_LIMIT: "limited by the profile",
}


def render_account(account: Account, page: Page) -> str:
    """Return everything about a launch as text with a closing newline."""
    lines = [
        *_head(account, page),
        "",
        *_losses(account.losses, page),
        *_aspects(account.decisions, page),
        "",
        *_table(account.capabilities, page),
        "",
        *_sets(account, page),
    ]
    return _text(lines)


def render_capabilities(account: Account, page: Page) -> str:
    """Return each capability of the account in full, as text with a closing newline."""
    lines = _head(account, page)
    for one in account.capabilities:
        lines += ["", *_capability(one, page)]
    return _text(lines)


def _text(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _head(account: Account, page: Page) -> list[str]:
    state = account.status or "runs, or was lost"
    if account.exit_code is not None:
        state = f"exit code {account.exit_code}"
    if account.error:
        state = "did not start"
    when = f"{account.created[:19]}Z"
    first = f"container {account.container}: profile {account.profile}, {when}, {state}"
    return [
        *paragraph(first, page, indent=2),
        *labelled(
            "command", cut(shlex.join(account.command), 4 * page.width), page, column=_COLUMN
        ),
        *labelled("failed", account.error, page, column=_COLUMN),
    ]


def _losses(losses: tuple[Loss, ...], page: Page) -> list[str]:
    """Return the capabilities that got less, those of one cause and place together."""
    lines = []
    for loss in losses:
        asked = f" ({', '.join(loss.asked_by)})" if loss.asked_by else ""
        lines += _entry(loss.outcome, shortened(", ".join(loss.names)) + asked, page)
        for label, text in (
            ("because", loss.detail),
            ("lost at", loss.lost_at),
            ("try", shortened(loss.remedy)),
        ):
            lines += labelled(label, text, page, column=_OUTCOME + 1)
    return lines


def _entry(outcome: Outcome, text: str, page: Page) -> list[str]:
    """Return a wrapped text behind an outcome."""
    blank = " " * (_OUTCOME + 1)
    wrapped = paragraph(text, page, first=blank, indent=len(blank))
    return [_outcome(outcome, page) + wrapped[0][_OUTCOME:], *wrapped[1:]]


def _aspects(decisions: tuple[Decision, ...], page: Page) -> list[str]:
    """Return the other aspects, with cause and remedy where less was given."""
    lines = []
    for decision in decisions:
        less = decision.outcome in _LESS
        text = f"{decision.subject}: {decision.chosen}"
        if less:
            text += f", not {decision.request}"
        text += f" ({decision.asked_by})"
        lines += _entry(decision.outcome, text, page)
        if less:
            lines += labelled("because", decision.cause, page, column=_OUTCOME + 1)
            lines += labelled("try", decision.remedy, page, column=_OUTCOME + 1)
    return lines


def _outcome(outcome: Outcome, page: Page) -> str:
    return page.paint(outcome.value.ljust(_OUTCOME), _COLOURS[outcome])


def _table(capabilities: tuple[CapabilityAccount, ...], page: Page) -> list[str]:
    """Return one line for each capability."""
    head = f"nr {'capability'.ljust(_NAME)} {'outcome'.ljust(_OUTCOME)} sets  exec  "
    lines = [cut(head + "why not more; asked by", page.width)]
    for one in capabilities:
        decision = one.decision
        room = max(12, page.width - len(head))
        lines.append(
            f"{decision.number:2} {decision.name.ljust(_NAME)} {_outcome(decision.outcome, page)} "
            f"{given(decision).letters} {one.after_exec.letters} {cut(plain(_why(decision)), room)}"
        )
    legend = (
        "sets: Inheritable, Permitted, Effective, Bounding, Ambient as decided; exec: as predicted "
        "after the program's exec; nestbox explain CONTAINER CAP says more of one"
    )
    return [*lines, *paragraph(legend, page, indent=2)]


def _why(decision: CapabilityDecision) -> str:
    """Return why not more, if less was given, and who asked."""
    parts = (CAUSES[decision.cause], ", ".join(decision.asked_by))
    return "; ".join(part for part in parts if part)


def _sets(account: Account, page: Page) -> list[str]:
    """Return the five sets as they were read back, and as they are to be after exec."""
    lines = [f"{'set'.ljust(_COLUMN)}{'before exec'.ljust(18)}after exec (predicted)"]
    shown: dict[int, str] = {}
    for name in SETS:
        after = _mask(account.after_exec, name)
        members = f"as {shown[after]}" if after in shown else _members(after, account)
        if after:
            shown.setdefault(after, name)
        before = "not read back" if account.sets is None else f"{_mask(account.sets, name):016x}"
        first = f"{name.ljust(_COLUMN)}{before.ljust(18)}{after:016x} "
        lines += paragraph(members, page, first=first, indent=len(first))
    return lines


def _mask(sets: CapabilitySets, name: str) -> int:
    mask: int = getattr(sets, name)
    return mask


def _members(mask: int, account: Account) -> str:
    """Return the capabilities of a mask: those it has, or the few that it lacks."""
    names = [name.removeprefix("CAP_") for name in names_in(mask)]
    if not names:
        return "none"
    absent = [
        one.decision.name.removeprefix("CAP_")
        for one in account.capabilities
        if not mask >> one.decision.number & 1
    ]
    if not absent:
        return f"all {len(names)}"
    if len(absent) < len(names):
        return f"{len(names)}, all but {' '.join(absent)}"
    return " ".join(names)


def _capability(one: CapabilityAccount, page: Page) -> list[str]:
    """Return everything about one capability."""
    decision = one.decision
    asked = ", ".join(decision.asked_by) or "nobody"
    if decision.asked_by:
        strict = decision.intent is Intent.STRICT
        asked += " (by name: strict)" if strict else " (implied or optional: lenient)"

    def line(label: str, text: str) -> list[str]:
        return labelled(label, text, page, column=_COLUMN + 2)

    lines = [
        *paragraph(f"{decision.name} ({decision.number}): {one.purpose}", page, indent=2),
        *line("asked by", asked),
        "  " + "outcome".ljust(_COLUMN) + page.paint(decision.outcome, _COLOURS[decision.outcome]),
    ]
    for name in SETS:
        outcome: SetOutcome = getattr(decision, name)
        lines += line(name, _in_set(outcome))
    back = "not read back: the launch failed before" if one.read_back is None else ""
    lines += line("read back", back or _where(one.read_back))
    lines += line("after exec", _where(one.after_exec) + " (predicted)")
    lines += line("power", _power(decision))
    lines += line("because", decision.detail or CAUSES[decision.cause])
    lines += line("lost at", decision.lost_at)
    lines += line("try", decision.remedy)
    return [*lines, *line("note", decision.note)]


def _in_set(outcome: SetOutcome) -> str:
    why = CAUSES[outcome.cause]
    if outcome.given:
        return f"yes: {why}" if why else "yes"
    return f"no: {why}" if why else "no"


def _where(member: Membership | None) -> str:
    """Return the names of the sets that a capability is in."""
    held = [name for name in SETS if member is not None and getattr(member, name)]
    return ", ".join(held) or "in no set"


def _power(decision: CapabilityDecision) -> str:
    """Return over what a capability is power, for one that the container has."""
    if not any(getattr(decision, name).given for name in SETS):
        return ""
    if not decision.has_effect:
        return "none: the kernel checks it against the initial user namespace only"
    if decision.scope is Scope.USERNS:
        return "over the container's own user namespace only"
    return "over the user namespace that nestbox was started in"


def render_list(rows: list[dict[str, object]], page: Page) -> str:
    """Return the list of known records as text with a closing newline."""
    width = max(9, *(len(plain(str(row["container"]))) for row in rows))
    head = f"{'container'.ljust(width)} {'created (UTC)'.ljust(19)} {'profile'.ljust(11)} exit "
    lines = [head + "command"]
    for row in rows[:_LISTED]:
        name = plain(str(row["container"])).ljust(width)
        if "created" not in row:
            lines.append(f"{name} {plain(str(row['error']))}")
            continue
        created = str(row["created"])[:19].replace("T", " ")
        start = f"{name} {created.ljust(19)} {plain(str(row['profile'])).ljust(11)} "
        start += _ended(row).ljust(5)
        lines.append(start + cut(plain(str(row["command"])), max(12, page.width - len(start))))
    if len(rows) > _LISTED:
        lines.append(f"and {len(rows) - _LISTED} older ones, which -o json lists as well")
    return _text(lines)


def _ended(row: dict[str, object]) -> str:
    """Return how a container ended, in at most four letters."""
    if row["error"]:
        return "fail"
    return "-" if row["exit_code"] is None else str(row["exit_code"])
