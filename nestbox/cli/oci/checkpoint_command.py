"""`nestbox-runtime checkpoint`: write a running container to image files, with CRIU."""

from __future__ import annotations

from nestbox.cli.oci.command import FLAG, NUMBER, TEXT, Call, Command, Option
from nestbox.cli.oci.shared_options import CRIU, criu_options
from nestbox.errors import UsageError


def _checkpoint(call: Call) -> int:
    from nestbox.runtime.oci.checkpoint import checkpoint
    from nestbox.runtime.oci.requests import CheckpointRequest

    values = call.values
    request = CheckpointRequest(
        id=call.container,
        criu=criu_options(call),
        leave_running=values.flag("leave-running"),
        pre_dump=values.flag("pre-dump"),
        status_fd=values.number("status-fd", -1),
        page_server=_address(values.text("page-server")),
    )
    checkpoint(request, call.session.options(), call.session.log)
    return 0


def _address(text: str) -> tuple[str, int] | None:
    """Return an address and a port; None when none was given. Raises UsageError."""
    if not text:
        return None
    address, _, port = text.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not address or not port.isdigit() or int(port) > 0xFFFF:
        raise UsageError(
            "Use --page-server ADDRESS:PORT to specify page server",
            cause=f"{text[:80]!r} is none",
            remedy="give an address and a port number",
        )
    return address, int(port)


COMMAND = Command(
    "checkpoint",
    "checkpoint a running container",
    _checkpoint,
    description="The checkpoint command saves the state of the container instance.",
    options=(
        *CRIU,
        Option("parent-path", TEXT, "path from the images to those of an earlier pre-dump"),
        Option("leave-running", FLAG, "leave the process running after checkpointing"),
        Option("tcp-skip-in-flight", FLAG, "skip in-flight tcp connections"),
        Option("link-remap", FLAG, "allow one to link unlinked files back when possible"),
        Option("status-fd", NUMBER, "descriptor that is written to once lazy-pages is ready"),
        Option("page-server", TEXT, "ADDRESS:PORT of the page server"),
        Option("pre-dump", FLAG, "dump only the memory, and leave the container running"),
    ),
)
