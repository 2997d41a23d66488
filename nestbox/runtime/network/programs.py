"""How pasta and slirp4netns are called, and how each is told of ports.

Sources: pasta(1), slirp4netns(1); each option below has been there since the versions of Debian 12.
"""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, reason
from nestbox.policy.launch_spec import NetworkSpec, PortSpec

SLIRP_ADDRESS = "10.0.2.100"
_SLIRP_MTU = 65520
_API_SECONDS = 5.0
_ANSWER_BYTES = 4096


def pasta_arguments(spec: NetworkSpec, pid: int, ready: str, *, user: bool) -> list[str]:
    """Return the command of pasta: no way to the machine's loopback, and no port that is not named.

    It joins the namespaces of a process, with ``user`` its user namespace too, and writes to the
    file ``ready`` when it has; newer versions end when the process is gone.
    """
    words = [spec.program, "--config-net", "--foreground", "--stderr", "--quiet", "--no-map-gw"]
    words += ["--pid", ready]
    if os.geteuid() == 0:
        # It would become nobody, who may not enter the namespaces; what it can do without, it
        # gives up by itself.
        words += ["--runas", "0"]
    if spec.resolver:
        words += ["--dns-forward", spec.resolver]
    words += ["-T", "none", "-U", "none"]
    for letter, protocol in (("-t", "tcp"), ("-u", "udp")):
        ports = [_pasta_port(port) for port in spec.ports if port.protocol == protocol]
        for port in ports or ["none"]:
            words += [letter, port]
    words += ["--netns", f"/proc/{pid}/ns/net"]
    return [*words, "--userns", f"/proc/{pid}/ns/user"] if user else words


def _pasta_port(port: PortSpec) -> str:
    address = f"{port.address}/" if port.address else ""
    return f"{address}{port.outer}:{port.inner}"


def slirp_arguments(spec: NetworkSpec, pid: int, leave: int, socket: str, ready: int) -> list[str]:
    """Return the command of slirp4netns, in its own sandbox, for the namespaces of a process.

    It ends when the other end of the descriptor ``leave`` is closed.
    """
    words = [spec.program, "--configure", f"--mtu={_SLIRP_MTU}", "--disable-host-loopback"]
    words += ["--enable-sandbox", "--enable-seccomp"]
    words += [f"--exit-fd={leave}", f"--ready-fd={ready}"]
    if socket:
        words += ["--api-socket", socket]
    return [*words, str(pid), "tap0"]


def publish_with_slirp(path: str, port: PortSpec) -> None:
    """Have slirp4netns forward a port. Raises LaunchError."""
    import json
    import socket

    request = {
        "execute": "add_hostfwd",
        "arguments": {
            "proto": port.protocol,
            "host_addr": port.address or "0.0.0.0",
            "host_port": port.outer,
            "guest_addr": SLIRP_ADDRESS,
            "guest_port": port.inner,
        },
    }
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_API_SECONDS)
            connection.connect(path)
            connection.sendall(json.dumps(request).encode())
            connection.shutdown(socket.SHUT_WR)
            answer = json.loads(connection.recv(_ANSWER_BYTES) or b"{}")
    except (OSError, ValueError) as error:
        raise _not_published(port, reason(error)) from error
    if "error" in answer or "return" not in answer:
        told = answer.get("error", {}).get("desc", "no answer")
        raise _not_published(port, f"slirp4netns answered: {told}")


def _not_published(port: PortSpec, cause: str) -> LaunchError:
    return LaunchError(
        f"cannot publish the port {port.outer}/{port.protocol}",
        cause=cause,
        remedy="publish another port, or see who has it: ss -lntup",
    )
