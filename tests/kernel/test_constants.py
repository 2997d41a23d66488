"""Numbers and tables against the kernel's own headers, by the compiler."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from nestbox.kernel import capabilities, constants, namespaces, rlimits

KERNEL = Path(capabilities.__file__).parent


def _check(tmp_path: Path, includes: str, assertions: dict[str, int]) -> None:
    """Compile one static assertion for each name."""
    lines = [includes]
    lines += [
        f'_Static_assert((unsigned long long)({name}) == {value & (1 << 64) - 1}ULL, "{name}");'
        for name, value in assertions.items()
    ]
    source = tmp_path / "check.c"
    source.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["gcc", "-std=gnu11", "-fsyntax-only", f"-I{KERNEL}", str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_capability_table_is_the_header_s(tmp_path):
    header = Path("/usr/include/linux/capability.h").read_text()
    defined = set(re.findall(r"^#define\s+(CAP_\w+)\s+\d+$", header, re.MULTILINE))
    rows = {row.name: row.number for row in capabilities.TABLE if row.name in defined}
    assert rows.keys() == defined
    assert len(rows) >= 38  # what Linux 5.8 added may be newer than the header
    _check(tmp_path, "#include <linux/capability.h>", rows)


def test_the_capability_table_lacks_nothing_that_the_header_has(tmp_path):
    _check(
        tmp_path,
        "#include <linux/capability.h>\n"
        f'_Static_assert(CAP_LAST_CAP <= {capabilities.LAST_KNOWN}, "newer than the table");',
        {},
    )
    assert [row.number for row in capabilities.TABLE] == list(range(len(capabilities.TABLE)))


def test_every_constant_is_the_header_s(tmp_path):
    values = {name: value for name, value in vars(constants).items() if name.isupper()}
    assert len(values) > 80
    _check(tmp_path, '#include "compat.h"', values)


def test_resource_limits_are_the_header_s(tmp_path):
    _check(tmp_path, "#include <sys/resource.h>", rlimits.RLIMITS)
    assert len(rlimits.RLIMITS) == 16


@pytest.mark.parametrize("row", namespaces.TABLE, ids=lambda row: row.name)
def test_every_namespace_of_the_table_has_its_flag(row, tmp_path):
    flag = {"mnt": "CLONE_NEWNS"}.get(row.name, f"CLONE_NEW{row.name.upper()}")
    _check(tmp_path, '#include "compat.h"', {flag: row.flag})


def test_the_namespace_table_names_what_this_kernel_has():
    own = {path.name for path in Path("/proc/self/ns").iterdir()}
    names = {row.name for row in namespaces.TABLE}
    assert own - {"pid_for_children", "time_for_children"} <= names
