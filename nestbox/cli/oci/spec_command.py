"""`nestbox-runtime spec`: a configuration to begin with."""

from __future__ import annotations

import os

from nestbox.cli.oci.command import FLAG, TEXT, Call, Command, Option
from nestbox.errors import UsageError

_NAME = "config.json"


def _spec(call: Call) -> int:
    path = os.path.join(call.values.text("bundle"), _NAME)
    text = _text(rootless=call.values.flag("rootless"))
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except FileExistsError as error:
        raise UsageError(
            f"File {_NAME} exists. Remove it first",
            cause="it would be overwritten",
            remedy="remove it, or name another directory with --bundle",
        ) from error
    with open(fd, "w") as file:
        file.write(text)
    return 0


def _text(*, rootless: bool) -> str:
    from nestbox.oci.template import rootless_template, template

    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    if rootless:
        return rootless_template(uid=os.geteuid(), gid=os.getegid(), cgroup_namespace=unified)
    return template(cgroup_namespace=unified)


COMMAND = Command(
    "spec",
    "create a new specification file",
    _spec,
    arguments="",
    description='The spec command creates the new specification file named "config.json" for\n'
    'the bundle. It runs "sh" in the directory "rootfs"; edit it to run something else.',
    options=(
        Option("bundle b", TEXT, "path to the root of the bundle directory"),
        Option("rootless", FLAG, "generate a configuration for a rootless container"),
    ),
    minimum=0,
    maximum=0,
)
