"""Text in HTML: shown as it is, whatever is in it. Pure."""

from __future__ import annotations

import html

from nestbox.doctor.layout import plain


def safe(text: str) -> str:
    """Return the text for an element or a quoted attribute, what is not printable escaped."""
    return html.escape(plain(text))


def element(name: str, text: str, **attributes: str) -> str:
    """Return an element with a text in it; ``class_`` is the attribute class."""
    listed = "".join(
        f' {key.rstrip("_")}="{safe(value)}"' for key, value in attributes.items() if value
    )
    return f"<{name}{listed}>{safe(text)}</{name}>"
