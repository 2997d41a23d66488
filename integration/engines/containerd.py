"""A containerd of a test's own, for `ctr` and for what a kubelet asks of it."""

from __future__ import annotations

import json
from pathlib import Path

from integration.engines.enclosure import Done, Enclosure
from integration.engines.images import PAUSE
from integration.engines.readiness import Daemon
from integration.engines.runtimes import EngineRuntime, installed
from integration.engines.terminal import Terminal

_CONFIG = """
version = 2
root = "{place}/containerd"
state = "/run/containerd"
[grpc]
  address = "{place}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = {restrict}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{place}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "{default}"
"""
# A RuntimeClass names the last word of the table; docs/guide/kubernetes.md has these lines.
_HANDLER = """
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      pod_annotations = ["org.nestbox.*"]
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        BinaryName = "{path}"
"""
_NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni-pods",
            "isGateway": True,
            "ipam": {"type": "host-local", "subnet": "10.98.0.0/24"},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


class Containerd:
    """One daemon with a handler for every runtime: started when made, ended by `close`."""

    def __init__(self, enclosure: Enclosure, default: EngineRuntime) -> None:
        self.enclosure = enclosure
        self.runtime = default
        self.socket = enclosure.place / "containerd.sock"
        network = enclosure.place / "cni"
        network.mkdir()
        (network / "10-pods.conflist").write_text(
            json.dumps(_NETWORK).replace(
                '"type": "host-local"',
                f'"type": "host-local", "dataDir": "{enclosure.place}/addresses"',
            )
        )
        config = enclosure.place / "containerd.toml"
        text = _CONFIG.format(
            place=enclosure.place,
            sandbox=PAUSE,
            default=default.name,
            # A peer cannot lower the score without CAP_SYS_RESOURCE, and no pod would start.
            restrict="false" if default.is_nestbox else "true",
        )
        handlers = (_HANDLER.format(name=it.name, path=it.path) for it in installed())
        config.write_text(text + "".join(handlers))
        self.daemon = Daemon(enclosure, "containerd", ["containerd", "--config", str(config)])

    def client(self, *words: str | Path, namespace: str = "default") -> list[str]:
        """Return the words of a ctr command."""
        return ["ctr", f"--address={self.socket}", f"--namespace={namespace}", *map(str, words)]

    def ctr(
        self,
        *words: str | Path,
        check: bool = True,
        stdin: str = "",
        namespace: str = "default",
    ) -> Done:
        """Return what a ctr command answered."""
        command = self.client(*words, namespace=namespace)
        return self.enclosure.run(*command, check=check, stdin=stdin)

    def terminal(self, *words: str) -> Terminal:
        """Return a ctr command on a terminal."""
        return Terminal(self.enclosure.enter(*self.client(*words)), self.enclosure.environment())

    def remove_all(self, namespace: str = "default") -> None:
        """End and remove every container of ctr's."""
        for kind in ("tasks", "containers"):
            for name in self.ctr(kind, "list", "--quiet", namespace=namespace).words:
                force = ["--force"] if kind == "tasks" else []
                self.ctr(kind, "delete", *force, name, namespace=namespace)

    def close(self) -> None:
        """End the daemon."""
        self.daemon.close()
