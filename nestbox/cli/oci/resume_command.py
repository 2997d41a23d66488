"""`nestbox-runtime resume`: let all processes of a paused container go on."""

from __future__ import annotations

from nestbox.cli.oci.command import Call, Command


def _resume(call: Call) -> int:
    from nestbox.runtime.oci.freezing import resume

    resume(call.session.root, call.container)
    return 0


COMMAND = Command(
    "resume",
    "resumes all processes that have been previously paused",
    _resume,
    description="The resume command resumes all processes in the instance of the container.",
)
