"""What the extra build steps have in common: where their output goes in each kind of build."""

from __future__ import annotations

import os
from typing import ClassVar

from setuptools import Command

Option = tuple[str, str | None, str]


class BuildStep(Command):
    """A sub-command of ``build`` whose output belongs below the package ``nestbox``.

    A wheel is assembled in ``build_lib``; an editable install and ``--inplace`` leave the output
    in the source tree, where the package is then imported from.

    Source: setuptools, "Extending or Customizing Setuptools", ``SubCommand``.
    """

    user_options: ClassVar[list[Option]] = [
        ("inplace", "i", "put the output into the source tree"),
        ("force", "f", "build even what is up to date"),
    ]
    boolean_options: ClassVar[list[str]] = ["inplace", "force"]

    def initialize_options(self) -> None:
        """Set every option to its value before the command line is read."""
        self.build_lib = ""
        self.editable_mode = False
        self.inplace = False
        self.force: bool | None = None

    def finalize_options(self) -> None:
        """Take the output directory and ``force`` from ``build`` where they were not given."""
        build = self.get_finalized_command("build")
        self.build_lib = self.build_lib or build.build_lib
        if self.force is None:
            self.force = bool(build.force)

    def place(self, path: str) -> str:
        """Return where a file of the package is written, given its path in the source tree."""
        return path if self.inplace or self.editable_mode else os.path.join(self.build_lib, path)

    def built_files(self) -> list[str]:
        """Return the files this step makes, as paths in the source tree."""
        raise NotImplementedError

    def get_source_files(self) -> list[str]:
        """Return the files that a source distribution needs for this step."""
        raise NotImplementedError

    def get_outputs(self) -> list[str]:
        """Return the files this step makes, as they lie in the build directory."""
        return [os.path.join(self.build_lib, path) for path in self.built_files()]

    def get_output_mapping(self) -> dict[str, str]:
        """Return, for an editable install, the file in the source tree behind each output."""
        if not self.editable_mode:
            return {}
        return {os.path.join(self.build_lib, path): path for path in self.built_files()}
