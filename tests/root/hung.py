"""A file system of a server that never answers, mounted over a path before a command is run.

    python hung.py PATH COMMAND ...

Source: Documentation/filesystems/fuse.rst.
"""

from __future__ import annotations

import os
import sys

from nestbox.kernel import syscalls


def main(path: str, *command: str) -> int:
    """Return the status of the command; the mount ends with the mount namespace."""
    device = os.open("/dev/fuse", os.O_RDWR)
    os.set_inheritable(device, True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    syscalls.mount("hung", path, "fuse", 0, options)
    # The descriptor stays open in the command: without any, the mount would answer ENOTCONN.
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
