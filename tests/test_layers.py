"""Imports point down only, and what decides has no effects."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nestbox"

# From the bottom to the top; what stands together in a row does not know of each other.
ROWS = (
    ("errors", "json_text", "version"),
    ("kernel",),
    ("outer", "oci"),
    ("policy",),
    ("plan",),
    ("executor",),
    ("runtime",),
    ("flags",),
    ("api", "doctor", "images"),
    ("cli",),
)
HEIGHT = {name: height for height, row in enumerate(ROWS) for name in row}

# Modules with effects: what is pure takes their results as values.
EFFECTS = {
    "fcntl", "mmap", "nestbox.kernel.reading", "nestbox.kernel.spawn", "nestbox.kernel.syscalls",
    "nestbox.kernel.trials", "os", "pathlib", "random", "select", "shutil", "signal", "socket",
    "subprocess", "tempfile", "termios", "threading", "time",
}  # fmt: skip
# What reads files in packages that are pure otherwise, each with its reason.
READERS = {
    "policy/profile_file.py": "profiles are looked up in directories",
    "policy/shipped_build.py": "runs while building",
    "policy/shipped_profiles.py": "reads the package's own data",
}
PURE = ("errors.py", "policy", "plan", "oci",
        "kernel/capabilities.py", "kernel/procfs.py", "outer/facts.py", "outer/derived.py",
        "outer/recording.py", "doctor/examine.py", "doctor/rehearsal.py")  # fmt: skip


def sources(*parts: str) -> list[str]:
    paths = [PACKAGE / part for part in parts]
    files = [f for p in paths for f in ([p] if p.suffix else sorted(p.rglob("*.py")))]
    return [str(file.relative_to(PACKAGE)) for file in files]


def imports(path: str) -> set[str]:
    """Return the modules that a file names anywhere, in functions and for types alone too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def layer(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def test_every_package_has_a_layer() -> None:
    found = {layer(path) for path in sources(".")} - {"__init__", "__main__"}
    assert found <= set(HEIGHT)


@pytest.mark.parametrize("path", [path for path in sources(".") if "__" not in layer(path)])
def test_imports_point_down(path: str) -> None:
    own = layer(path)
    for name in imports(path):
        root, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if root != "nestbox" or other == own or other not in HEIGHT:
            continue
        assert HEIGHT[other] < HEIGHT[own], f"{path} imports {name}"


@pytest.mark.parametrize("path", [path for path in sources(*PURE) if path not in READERS])
def test_what_decides_has_no_effects(path: str) -> None:
    assert not imports(path) & EFFECTS


@pytest.mark.parametrize("path", READERS)
def test_an_exception_for_a_reader_is_still_needed(path: str) -> None:
    assert imports(path) & EFFECTS
