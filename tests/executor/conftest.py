"""What the tests of the executor share."""

from __future__ import annotations

from tests.executor.sanitized import executor, root

__all__ = ["executor", "root"]
