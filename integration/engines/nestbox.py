"""What nestbox says of containers that engines made: their OCI log, and `nestbox explain`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from integration.engines.enclosure import Enclosure

COMMAND = str(Path(sys.executable).with_name("nestbox"))


def warnings(log: str) -> str:
    """Return the messages of the warnings in an OCI log, one a line."""
    entries = [json.loads(line) for line in log.splitlines()]
    assert all({"level", "msg", "time"} <= set(entry) for entry in entries), log
    return "\n".join(entry["msg"] for entry in entries if entry["level"] == "warning")


def explain(enclosure: Enclosure, container: str, *words: str) -> str:
    """Return what `nestbox explain` tells of a container, which any engine has made."""
    return enclosure.run(COMMAND, "explain", container, *words).out
