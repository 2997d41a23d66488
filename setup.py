"""The part of the build that pyproject.toml cannot express: cffi modules and two more steps."""

from __future__ import annotations

import os
import sys

from setuptools import setup
from setuptools.command.build import build

# A PEP 517 front end runs this file without its directory on the module path.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from buildtools.executor import BuildExecutor
from buildtools.profiles import BuildProfiles


class Build(build):
    """The standard build followed by the executor and the shipped profiles."""

    sub_commands = [  # noqa: RUF012 - setuptools declares it as a plain class attribute
        *build.sub_commands,
        ("build_executor", None),
        ("build_profiles", None),
    ]


setup(
    cffi_modules=[
        "nestbox/kernel/syscalls_build.py:ffibuilder",
        "nestbox/kernel/libseccomp_build.py:ffibuilder",
        "nestbox/executor/abi_build.py:ffibuilder",
    ],
    cmdclass={
        "build": Build,
        "build_executor": BuildExecutor,
        "build_profiles": BuildProfiles,
    },
)
