"""A wish: what was asked, by whom and how firmly; and the decisions that can come of it. Pure."""

from __future__ import annotations

import msgspec

from nestbox.policy.decision import Decision, Intent, Outcome


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was asked for, before it is decided."""

    subject: str
    request: str
    asked_by: str
    intent: Intent

    def granted(self, chosen: str, *, cause: str = "", remedy: str = "") -> Decision:
        """Return the decision that gives what was asked; a cause says why by this rung."""
        return self._decision(Outcome.GRANTED, chosen, cause, remedy)

    def short(self, chosen: str, *, cause: str, remedy: str) -> Decision:
        """Return the decision that gives less: refused if strict, else weakened to ``chosen``."""
        if self.intent is Intent.STRICT:
            return self.refused(cause=cause, remedy=remedy)
        return self._decision(Outcome.WEAKENED, chosen, cause, remedy)

    def refused(self, *, cause: str, remedy: str) -> Decision:
        """Return the decision that stops the launch, whatever the intent."""
        return self._decision(Outcome.REFUSED, "none", cause, remedy)

    def _decision(self, outcome: Outcome, chosen: str, cause: str, remedy: str) -> Decision:
        return Decision(
            subject=self.subject,
            request=self.request,
            asked_by=self.asked_by,
            intent=self.intent,
            outcome=outcome,
            chosen=chosen,
            cause=cause,
            remedy=remedy,
        )


def by_profile(subject: str, request: str, name: str, intent: Intent = Intent.LENIENT) -> Wish:
    """Return a wish that the profile of this name makes."""
    return Wish(subject=subject, request=request, asked_by=f"profile {name}", intent=intent)


def by_flag(subject: str, request: str, flag: str) -> Wish:
    """Return a wish that the user made by name, which is strict."""
    return Wish(subject=subject, request=request, asked_by=flag, intent=Intent.STRICT)


def by_nestbox(subject: str, request: str) -> Wish:
    """Return a wish that nobody made: what every container gets."""
    return Wish(subject=subject, request=request, asked_by="nestbox", intent=Intent.LENIENT)
