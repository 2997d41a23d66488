"""The build step that compiles the shipped profiles, so that no launch parses YAML."""

from __future__ import annotations

import os
import subprocess
import sys
from glob import escape, glob

from buildtools.step import BuildStep

SOURCE = "profiles"
SCRIPT = "nestbox/policy/shipped_build.py"
# The script loads those it shares with the package by their path.
_LOADED = "nestbox/policy/profile_*.py"
DESTINATION = "nestbox/policy/shipped"


def sources() -> list[str]:
    """Return the files that describe the shipped profiles."""
    return sorted([*glob(f"{SOURCE}/*.yaml"), *glob(f"{SOURCE}/seccomp/*.json")])


def results(directory: str) -> list[str]:
    """Return what the compiler of profiles left in a directory; it alone decides the names."""
    found = glob(f"{escape(directory)}/**", recursive=True)
    return sorted(path for path in found if path.endswith((".json", ".yaml")))


def up_to_date(inputs: list[str], directory: str) -> bool:
    """Return whether every result in a directory is newer than every input."""
    made = results(directory)
    return bool(made) and max(map(os.path.getmtime, inputs)) < min(map(os.path.getmtime, made))


class BuildProfiles(BuildStep):
    """Runs the compiler of profiles, if a profile or the compiler is newer than its results."""

    description = "compile the shipped profiles"

    def built_files(self) -> list[str]:
        """Return the compiled profiles; known only after the step has run."""
        place = self.place(DESTINATION)
        return [os.path.join(DESTINATION, os.path.relpath(path, place)) for path in results(place)]

    def get_source_files(self) -> list[str]:
        """Return the profiles and what compiles them."""
        return [*sources(), SCRIPT, *sorted(glob(_LOADED))]

    def run(self) -> None:
        """Compile the profiles in a process of its own: the script must not need nestbox installed.

        Raises:
            subprocess.CalledProcessError: a profile is wrong; the script has said which.
        """
        output = self.place(DESTINATION)
        if not self.force and up_to_date(self.get_source_files(), output):
            return
        for path in results(output):
            os.unlink(path)
        os.makedirs(output, exist_ok=True)
        subprocess.run([sys.executable, SCRIPT, SOURCE, output], check=True)
