"""The version of nestbox; tests/outer/test_recording.py compares it with pyproject.toml."""

from __future__ import annotations

VERSION = "0.1.0"
