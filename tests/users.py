"""Running a command as another user, wherever this tree was cloned."""

from __future__ import annotations

import shlex
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]


def another_user(uid: int = 65534) -> list[str]:
    """Return the words to put before a command: it runs as this user, without any right.

    A clone below a home directory is closed to others, as /root is. Then the command has a mount
    namespace of its own in which only the tree is there, at its own path.
    """
    drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    closed = [directory for directory in TREE.parents if not directory.stat().st_mode & 0o001]
    if not closed:
        return drop
    cover, tree = shlex.quote(str(closed[-1])), shlex.quote(str(TREE))
    script = (
        f"cd {tree} && mount -t tmpfs -o mode=755 none {cover} && mkdir -p {tree}"
        f' && mount --no-canonicalize --bind . {tree} && cd / && exec {shlex.join(drop)} "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, "sh"]
