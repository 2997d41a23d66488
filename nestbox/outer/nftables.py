"""nftables through the program nft(8): whether it can do what a container needs, and what it drops.

Its text is what people read and try, and it can have the kernel check a table without making it.
"""

from __future__ import annotations

from nestbox.errors import reason
from nestbox.outer.facts import Trial
from nestbox.outer.tools import DEFAULT_PATH

INTERFACE = "nestbox"  # what the names of our interfaces begin with
_DIRECTIONS = ("iifname", "oifname")
_SECONDS = 10

# Every kind of chain, expression and statement that the table of a container may have.
_TRIAL_TABLE = """
table inet nestbox_trial {
  chain guard {
    type filter hook prerouting priority raw;
    iifname "nestbox" meta nfproto ipv6 drop
    iifname "nestbox" ip daddr 127.0.0.0/8 drop
  }
  chain source {
    type nat hook postrouting priority srcnat;
    ip saddr 198.51.100.1 oifname != "nestbox*" masquerade
  }
  chain ports {
    type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 1 dnat ip to 198.51.100.1:1
  }
}
"""
# What nft(8) reports, by the number that the kernel answered with.
_ERRORS = {
    "Operation not permitted": "EPERM",
    "Operation not supported": "EOPNOTSUPP",
    "Protocol not supported": "EPROTONOSUPPORT",
    "No such file or directory": "ENOENT",
    "Invalid argument": "EINVAL",
}


def run_nft(nft: str, words: tuple[str, ...], text: str) -> tuple[int | None, str, str]:
    """Return nft's status, what it printed, and why it failed, in one line.

    The status is None when it could not be started or took too long.
    """
    import subprocess

    try:
        done = subprocess.run(
            [nft, *words],
            input=text,
            capture_output=True,
            check=False,
            cwd="/",
            encoding="utf-8",
            env={"PATH": DEFAULT_PATH, "LC_ALL": "C"},
            errors="replace",
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None, "", f"it did not answer within {_SECONDS} seconds"
    except OSError as error:
        return None, "", f"it cannot be started: {reason(error)}"
    return done.returncode, done.stdout, done.stderr.strip().partition("\n")[0]


def try_table(nft: str) -> Trial:
    """Return the outcome of having the kernel check a table, which it then throws away."""
    status, _, errors = run_nft(nft, ("--check", "--file", "-"), _TRIAL_TABLE)
    if status == 0:
        return Trial(error=None)
    if status is None:
        return Trial(error="TIMEOUT")
    return Trial(error=next((name for text, name in _ERRORS.items() if text in errors), "EIO"))


def forward_drops(nft: str) -> tuple[str, ...]:
    """Return the chains that drop what is forwarded, as "ip filter FORWARD"."""
    _, chains, _ = run_nft(nft, ("list", "chains"), "")
    return tuple(
        f"{table} {chain}"
        for table, chain in parse_forward_drops(chains)
        if not lets_pass(run_nft(nft, ("list", "table", *table.split()), "")[1])
    )


def parse_forward_drops(text: str) -> tuple[tuple[str, str], ...]:
    """Return table and name of each chain at the forward hook of IPv4 whose policy is to drop.

    ``text`` is what ``nft list chains`` prints.
    """
    found = []
    table = chain = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif words[:1] == ["chain"]:
            chain = words[1]
        elif "hook forward" in line and "policy drop" in line:
            found.append((table, chain))
    return tuple(pair for pair in found if pair[0].split()[0] in {"ip", "inet"})


def lets_pass(table: str) -> bool:
    """Return whether a table, as nft lists it, accepts what comes from and goes to containers."""
    lines = [line for line in table.splitlines() if "accept" in line]
    return all(any(f'{word} "{INTERFACE}' in line for line in lines) for word in _DIRECTIONS)
