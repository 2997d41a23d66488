"""Root file systems and images that are made here: busybox, nothing from a registry.

Source: image-spec, "Image Layout Specification" and "OCI Image Configuration".
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

BUSYBOX = "/bin/busybox"
APPLETS = (
    "sh adduser awk cat chmod chown cp cut date dd df echo env false find grep head hostname "
    "httpd id ip kill ln ls mkdir mknod mount mv nc nproc ping printf ps pwd readlink rm sed seq "
    "sleep sort stat stty sync tail test timeout touch tr true tty umount uname wc wget"
).split()
PASSWD = "root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/home/worker:/bin/sh\n"
GROUP = "root:x:0:\nworker:x:1000:\nstaff:x:50:\n"
NAME = "localhost/busybox:1"
# What holds the namespaces of a pod, and how.
PAUSE = "localhost/pause:1"
HOLD = ("sleep", "1000000")
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def make_root(root: Path) -> Path:
    """Return a directory with busybox, its names, two users and the usual places."""
    for name in "bin dev etc home/worker mnt proc root run sys tmp var/tmp".split():
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    shutil.chown(root / "home/worker", 1000, 1000)
    (root / "etc/data").write_text("not a program\n")
    (root / "etc/data").chmod(0o644)
    return root


def pack(root: Path, archive: Path) -> Path:
    """Return a tar of a root directory."""
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".")
    return archive


def oci_archive(
    layer: Path, archive: Path, name: str = NAME, command: Sequence[str] = ("sh",)
) -> Path:
    """Return an image of one layer as an OCI image layout in a tar."""
    content = layer.read_bytes()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(content)]},
    }
    blobs = [content, _json(config)]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, blobs[1]),
        "layers": [_descriptor(_LAYER, content)],
    }
    blobs.append(_json(manifest))
    names = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    index = {
        "schemaVersion": 2,
        "manifests": [_descriptor(_MANIFEST, blobs[2]) | {"annotations": names}],
    }
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json(index))
        for blob in blobs:
            _add(tar, "blobs/sha256/" + _digest(blob).removeprefix("sha256:"), blob)
    return archive


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(content))
