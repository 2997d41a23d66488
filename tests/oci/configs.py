"""Configurations for tests: the recorded documents, and a small one with changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nestbox.oci.config import Config
from nestbox.oci.read import parse_config
from nestbox.oci.template import template

DOCUMENTS = Path(__file__).parent / "documents"
NAMES = tuple(sorted(path.stem for path in DOCUMENTS.glob("*.json")))


def document(name: str) -> Any:
    """Return a recorded document as plain values."""
    return json.loads((DOCUMENTS / f"{name}.json").read_text())


def read(value: object) -> Config:
    """Return plain values as a configuration."""
    return parse_config(json.dumps(value).encode(), source="config.json")


def changed(path: str, value: object) -> Config:
    """Return the template with one place, such as ``linux.sysctl``, set to a value."""
    found = json.loads(template(cgroup_namespace=False))
    *parents, last = path.split(".")
    place = found
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return read(found)
