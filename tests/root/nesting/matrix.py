"""One environment's part of the matrix: every request planned and run, and the text of it."""

from __future__ import annotations

import msgspec

from nestbox.policy.decision import CapabilityDecision, Decision
from tests.root.nesting.description import Environment
from tests.root.nesting.requests import ASKED, DEFAULT, WORD, Ask
from tests.root.nesting.session import Answer, Session
from tests.root.nesting.telling import Refusal, Told


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """One request in one environment: what the plan said, and what the launch did."""

    ask: Ask
    told: Told
    ran: Answer

    def __str__(self) -> str:
        return f"{self.ask.title}: {self.ran.status}, {self.ran.err}"

    @property
    def starts(self) -> bool:
        """Return whether the container lived."""
        return self.ran.status == 0 and self.ran.out.split() == [WORD]


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What of a launch's record, or of a plan, counts."""

    decisions: tuple[Decision, ...]
    capabilities: tuple[CapabilityDecision, ...]
    refused: Refusal | None = None


def launch(session: Session, ask: Ask) -> Launch:
    """Run one request; what was decided is in its record, or in the plan of one that is refused."""
    ran = session.call("nestbox", "run", "--provenance", "-", *ask.words)
    before, _, record = ran.out.rpartition('{"schema":')
    ran = Answer(status=ran.status, out=before.strip(), err=ran.err)
    if record:
        return Launch(ask=ask, told=_told(f'{{"schema":{record}'), ran=ran)
    planned = session.call("nestbox", "plan", "--output", "json", *ask.words)
    refused = _error(ran)
    told = _told(planned.out, refused) if planned.out else Told(refused=refused, planned=refused)
    return Launch(ask=ask, told=told, ran=ran)


def _told(document: str, refused: Refusal | None = None) -> Told:
    found = msgspec.json.decode(document, type=_Record)
    return Told(
        decisions=found.decisions,
        capabilities=found.capabilities,
        refused=refused,
        planned=found.refused,
    )


def launch_all(session: Session) -> tuple[Launch, ...]:
    """Plan and run everything that is asked for."""
    return tuple(launch(session, ask) for ask in ASKED)


def _error(answer: Answer) -> Refusal:
    """Return the parts of an error that was printed."""
    parts = {"what": "", "because": "", "try": ""}
    for line in answer.err.splitlines():
        word, _, rest = line.strip().partition(":")
        parts["what" if word == "nestbox" else word] = rest.strip()
    return Refusal(what=parts["what"], cause=parts["because"], remedy=parts["try"])


def text_of(described: Environment, launches: tuple[Launch, ...]) -> str:
    """Return the golden text of an environment: a section for each request."""
    plain = next(one for one in launches if one.ask == DEFAULT)
    known = set(plain.told.lines())
    parts = [f"{described.name}: {described.about}"]
    for one in launches:
        end = "starts" if one.starts else f"ends with {one.ran.status}"
        lines = [f"  {line}" for line in one.ask.shown(one.told.lines(), known)]
        parts.append("\n".join([f"{one.ask.title}: {end}", *lines]))
    return "\n\n".join(parts) + "\n"


def sections(text: str) -> dict[str, list[str]]:
    """Return the lines of each request of a golden text, by its title."""
    found = {}
    for part in text.rstrip("\n").split("\n\n")[1:]:
        head, *lines = part.splitlines()
        found[head.rpartition(": ")[0]] = [line.removeprefix("  ") for line in lines]
    return found
