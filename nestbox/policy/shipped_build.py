"""Compiles the shipped profiles while building: ``python shipped_build.py SOURCE_DIR OUTPUT_DIR``.

Every SOURCE_DIR/NAME.yaml becomes OUTPUT_DIR/NAME.json, from which a launch decodes the profile
without parsing YAML, beside NAME.yaml for people to read; SOURCE_DIR/seccomp/*.json are made small.

It runs where only PyYAML is installed, so it takes the table of keys from the file next to it and
imports nothing of nestbox. What it does not check (names of capabilities), a test does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from glob import escape, glob
from types import ModuleType
from typing import Any

import yaml

BASE = "default"  # what it has holds where another profile has nothing


def main(arguments: list[str]) -> int:
    """Compile all profiles; return 0, or 1 after telling what is wrong."""
    if len(arguments) != 3:
        sys.stderr.write("usage: shipped_build.py SOURCE_DIR OUTPUT_DIR\n")
        return 2
    source, output = arguments[1:]
    try:
        compile_profiles(source, output)
        compile_seccomp(source, output)
    except (OSError, ValueError, yaml.YAMLError) as error:
        sys.stderr.write(f"shipped_build: {error}\n")
        return 1
    return 0


def compile_profiles(source: str, output: str) -> None:
    """Compile every profile.

    Raises:
        ValueError: a profile is wrong, or there is no ``default``.
    """
    table = load_table()
    texts = {
        os.path.basename(path).removesuffix(".yaml"): read(path)
        for path in sorted(glob(f"{escape(source)}/*.yaml"))
    }
    if BASE not in texts:
        raise ValueError(f"there is no {source}/{BASE}.yaml")
    os.makedirs(output, exist_ok=True)
    base: Any = None
    for name in sorted(texts, key=lambda name: (name != BASE, name)):
        document = yaml.safe_load(texts[name])
        check(table, document, name)
        form = table.normal(document, base, "built in")
        base = base or form
        write(f"{output}/{name}.json", json.dumps(form, separators=(",", ":")))
        write(f"{output}/{name}.yaml", texts[name])


def check(table: ModuleType, document: object, name: str) -> None:
    """Hold a shipped profile to the rules.

    Raises:
        ValueError: it breaks one.
    """
    found = table.problems(document)
    if found:
        first = found[0]
        place = ".".join(str(part) for part in first.path)
        raise ValueError(f"{name}.yaml: {place}: {first.message}")
    if not isinstance(document, dict) or document["name"] != name or "extends" in document:
        raise ValueError(f"{name}.yaml: must have the name {name} and no extends")
    missing = table.missing_keys(document)
    if name == BASE and missing:
        raise ValueError(f"{name}.yaml: must have every key: {', '.join(missing)}")


def compile_seccomp(source: str, output: str) -> None:
    """Write every seccomp profile without its white space."""
    os.makedirs(f"{output}/seccomp", exist_ok=True)
    for path in sorted(glob(f"{escape(source)}/seccomp/*.json")):
        small = json.dumps(json.loads(read(path)), separators=(",", ":"), ensure_ascii=False)
        write(f"{output}/seccomp/{os.path.basename(path)}", small)


def load_table() -> ModuleType:
    """Return the module profile_schema, loaded by its path after the one that it needs."""
    load_sibling("profile_kinds")
    return load_sibling("profile_schema")


def load_sibling(name: str) -> ModuleType:
    """Return the module of a file next to this one, known by its full name from then on."""
    full_name = f"nestbox.policy.{name}"
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(full_name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module
    spec.loader.exec_module(module)
    return module


def read(path: str) -> str:
    """Return the text of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Put a text into a file."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
