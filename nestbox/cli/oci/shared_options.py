"""Options that several commands of `nestbox-runtime` have."""

from __future__ import annotations

import os

from nestbox.cli.oci.command import FLAG, NUMBER, TEXT, TEXTS, Call, Option
from nestbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.oci.requests import CgroupsMode, CreateRequest, CriuOptions, RunMode

NEW_CONTAINER = (
    '<container-id>\n\nWhere "<container-id>" is your name for the instance of the container that '
    "you\nare starting. The name you provide for the container instance must be unique on\nyour "
    "host."
)

BUNDLE = Option("bundle b", TEXT, "directory of the bundle, by default the current directory")
CONFIG = Option("config f", TEXT, "configuration to use instead of the bundle's config.json")
CONSOLE_SOCKET = Option(
    "console-socket", TEXT, "AF_UNIX socket that receives the other end of the pseudoterminal"
)
PIDFD_SOCKET = Option(
    "pidfd-socket", TEXT, "AF_UNIX socket that receives a descriptor of the process"
)
PID_FILE = Option("pid-file", TEXT, "file to write the process id to")
NO_PIVOT = Option("no-pivot", FLAG, "do not use pivot_root; for a rootfs on top of a ramdisk")
NO_NEW_KEYRING = Option("no-new-keyring", FLAG, "keep the session keyring of the caller")
PRESERVE_FDS = Option(
    "preserve-fds",
    NUMBER,
    "hand N more descriptors to the container (stdio + $LISTEN_FDS + N in total)",
    default="0",
)
DETACH = Option("detach d", FLAG, "detach from the container's process")
NO_SUBREAPER = Option("no-subreaper", FLAG, "do not reap processes that lose their parent")

CREATE = (
    BUNDLE, CONFIG, CONSOLE_SOCKET, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_NEW_KEYRING, PRESERVE_FDS,
)  # fmt: skip

CRIU = (
    Option("image-path", TEXT, "directory of CRIU's image files"),
    Option("work-path", TEXT, "directory of CRIU's work files and logs"),
    Option("tcp-established", FLAG, "allow open tcp connections"),
    Option("ext-unix-sk", FLAG, "allow external unix sockets"),
    Option("shell-job", FLAG, "allow shell jobs"),
    Option("file-locks", FLAG, "handle file locks, for safety"),
    Option("manage-cgroups-mode", TEXT, "cgroups mode: soft, full, strict or ignore"),
    Option("empty-ns", TEXTS, "create a namespace, but do not restore its properties"),
    Option("auto-dedup", FLAG, "remove what memory images have twice"),
    Option("lazy-pages", FLAG, "use userfaultfd to restore memory pages lazily"),
)


def absolute(path: str | None) -> str | None:
    """Return an absolute path; None stays None."""
    return os.path.abspath(path) if path else None


def create_request(call: Call) -> CreateRequest:
    """Return the container to make that the options of create, run and restore describe."""
    from nestbox.runtime.oci.requests import CreateRequest

    values = call.values
    return CreateRequest(
        id=call.container,
        bundle=os.path.abspath(values.text("bundle") or "."),
        config=absolute(values.text_if_given("config")),
        console_socket=values.text_if_given("console-socket"),
        pidfd_socket=values.text_if_given("pidfd-socket"),
        pid_file=absolute(values.text_if_given("pid-file")),
        no_pivot=values.flag("no-pivot"),
        no_new_keyring=values.flag("no-new-keyring"),
        preserve_fds=values.number("preserve-fds"),
    )


def run_mode(call: Call) -> RunMode:
    """Return what run and restore do beside making the container."""
    from nestbox.runtime.oci.requests import RunMode

    return RunMode(
        detach=call.values.flag("detach"),
        keep=call.values.flag("keep"),
        no_subreaper=call.values.flag("no-subreaper"),
    )


def criu_options(call: Call) -> CriuOptions:
    """Return what checkpoint and restore have in common. Raises UsageError."""
    from nestbox.runtime.oci.requests import CriuOptions

    values = call.values
    for namespace in values.texts("empty-ns"):
        if namespace != "network":
            raise UsageError(
                f'namespace "{namespace}" is not supported',
                cause="only the network can be left empty",
                remedy="use --empty-ns network",
            )
    return CriuOptions(
        image_path=os.path.abspath(values.text("image-path") or "checkpoint"),
        work_path=absolute(values.text_if_given("work-path")),
        parent_path=_parent_path(values.text("parent-path")),
        tcp_established=values.flag("tcp-established"),
        tcp_skip_in_flight=values.flag("tcp-skip-in-flight"),
        link_remap=values.flag("link-remap"),
        ext_unix_sk=values.flag("ext-unix-sk"),
        shell_job=values.flag("shell-job"),
        file_locks=values.flag("file-locks"),
        lazy_pages=values.flag("lazy-pages"),
        auto_dedup=values.flag("auto-dedup"),
        manage_cgroups_mode=_cgroups_mode(values.text("manage-cgroups-mode")),
        empty_ns=values.texts("empty-ns"),
    )


def _parent_path(path: str) -> str | None:
    """Return the directory of an earlier dump. Raises UsageError."""
    if path.startswith("/"):
        raise UsageError(
            "--parent-path must be relative",
            cause="the images are found by it from their own directory",
            remedy="give the path from --image-path to the earlier images",
        )
    return path or None


def _cgroups_mode(mode: str) -> CgroupsMode:
    match mode:
        case "" | "soft" | "full" | "strict" | "ignore":
            return mode
        case _:
            raise UsageError(
                f"invalid manage-cgroups-mode {mode!r}",
                cause="CRIU has none of that name",
                remedy="use soft, full, strict or ignore",
            )
