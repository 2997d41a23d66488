"""`nestbox-runtime restore`: make a container from the image files of a checkpoint, with CRIU."""

from __future__ import annotations

from nestbox.cli.oci.command import TEXT, Call, Command, Option
from nestbox.cli.oci.shared_options import (
    BUNDLE,
    CONFIG,
    CONSOLE_SOCKET,
    CRIU,
    DETACH,
    NEW_CONTAINER,
    NO_PIVOT,
    NO_SUBREAPER,
    PID_FILE,
    create_request,
    criu_options,
    run_mode,
)


def _restore(call: Call) -> int:
    from nestbox.runtime.oci.requests import RestoreRequest
    from nestbox.runtime.oci.restore import restore

    request = RestoreRequest(
        create=create_request(call),
        mode=run_mode(call),
        criu=criu_options(call),
        lsm_profile=call.values.text_if_given("lsm-profile"),
        lsm_mount_context=call.values.text_if_given("lsm-mount-context"),
    )
    return restore(request, call.session.options(), call.session.log)


COMMAND = Command(
    "restore",
    "restore a container from a previous checkpoint",
    _restore,
    arguments=NEW_CONTAINER,
    description="Restores the state of the container that the command checkpoint saved.",
    options=(
        CONSOLE_SOCKET,
        *CRIU,
        BUNDLE,
        CONFIG,
        DETACH,
        PID_FILE,
        NO_SUBREAPER,
        NO_PIVOT,
        Option("lsm-profile", TEXT, "security profile to restore with, as TYPE:NAME"),
        Option("lsm-mount-context", TEXT, "mount context of the security module"),
    ),
)
