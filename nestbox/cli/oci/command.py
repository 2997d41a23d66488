"""What a command of `nestbox-runtime` is made of: its options, its text, and what it calls."""

from __future__ import annotations

TYPE_CHECKING = False  # the module typing costs as much time as all of a light command
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nestbox.cli.oci.session import Session

FLAG = "flag"
TEXT = "text"
TEXTS = "texts"
NUMBER = "number"
NUMBERS = "numbers"
DURATION = "duration"

CONTAINER = '<container-id>\n\nWhere "<container-id>" is the name of the container.'


class Option:
    """One option: its names without dashes, what its values are, and its line of help.

    A name is written with one dash or two, as runc takes both. ``kind`` is one of the constants
    above; an option whose kind is in the plural may be given more than once.
    """

    __slots__ = ("default", "help", "hidden", "kind", "names")

    def __init__(
        self,
        names: str,
        kind: str,
        help_text: str = "",
        *,
        default: str = "",
        hidden: bool = False,
    ) -> None:
        self.names = names.split()
        self.kind = kind
        self.help = help_text
        self.default = default
        self.hidden = hidden


class Values:
    """What the options of one call were set to; the key is the first name of each."""

    __slots__ = ("_set",)

    def __init__(self) -> None:
        self._set: dict[str, list[str | int | bool]] = {}

    def add(self, option: Option, value: str | int | bool) -> None:
        """Keep a value: in front of no other when the option takes one alone."""
        key = option.names[0]
        if option.kind in {TEXTS, NUMBERS}:
            self._set.setdefault(key, []).append(value)
        else:
            self._set[key] = [value]

    def given(self, name: str) -> bool:
        """Return whether the option was given."""
        return name in self._set

    def flag(self, name: str) -> bool:
        """Return whether a flag is on."""
        return bool(self._set.get(name, [False])[-1])

    def flag_if_given(self, name: str) -> bool | None:
        """Return what a flag was set to, or None when it was not given."""
        return self.flag(name) if name in self._set else None

    def text(self, name: str, default: str = "") -> str:
        """Return the value of a text option."""
        return str(self._set.get(name, [default])[-1])

    def text_if_given(self, name: str) -> str | None:
        """Return the value of a text option; None when it was not given, or is empty."""
        return self.text(name) or None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values of a text option."""
        return tuple(str(value) for value in self._set.get(name, ()))

    def number(self, name: str, default: int = 0) -> int:
        """Return the value of a number option; that of a duration is in nanoseconds."""
        return int(self._set.get(name, [default])[-1])

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return all values of a number option."""
        return tuple(int(value) for value in self._set.get(name, ()))


class Call:
    """One call of a command: what was given, and what holds for every command."""

    __slots__ = ("arguments", "session", "values")

    def __init__(self, session: Session, values: Values, arguments: list[str]) -> None:
        self.session = session
        self.values = values
        self.arguments = arguments

    @property
    def container(self) -> str:
        """Return the container's id, the first argument of most commands."""
        return self.arguments[0]


class Command:
    """A command: how it is called, and the function that does it and returns the exit status.

    ``minimum`` and ``maximum`` are how many arguments there may be, None without a bound. Options
    may follow the arguments unless ``stop_early``: then all behind the first argument is passed on.
    ``failed`` is the exit status of a failure.
    """

    __slots__ = (
        "arguments", "description", "failed", "maximum", "minimum", "name", "options", "run",
        "stop_early", "usage",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        usage: str,
        run: Callable[[Call], int],
        *,
        arguments: str = CONTAINER,
        description: str = "",
        options: Sequence[Option] = (),
        minimum: int = 1,
        maximum: int | None = 1,
        stop_early: bool = False,
        failed: int = 1,
    ) -> None:
        self.name = name
        self.usage = usage
        self.run = run
        self.arguments = arguments
        self.description = description
        self.options = (*options, Option("help h", FLAG, "show help"))
        self.minimum = minimum
        self.maximum = maximum
        self.stop_early = stop_early
        self.failed = failed
