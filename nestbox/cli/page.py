"""The page that standard output is: how wide, and whether in colour."""

from __future__ import annotations

import os
import sys

from nestbox.cli.output import say_bytes, terminal_width
from nestbox.doctor.layout import Page, page_of


def page() -> Page:
    """Return the page of standard output; what is no terminal is 80 columns without colour."""
    if not sys.stdout.isatty():
        return page_of(None, colour=False)
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return page_of(terminal_width(sys.stdout), colour=colour)


def show(text: str) -> None:
    """Print a text that was laid out for the page: what came from others is escaped in it."""
    say_bytes(text.encode("utf-8", "backslashreplace"))
