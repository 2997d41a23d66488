"""What is known of a new container before anything of it exists."""

from __future__ import annotations

import os

import msgspec

from nestbox.oci.config import SPEC_VERSION
from nestbox.policy.config.options import LaunchOptions
from nestbox.runtime.cgroup.apply import check_unused
from nestbox.runtime.cgroup.tree import missing
from nestbox.runtime.oci.accept import Accepted
from nestbox.runtime.oci.requests import CreateRequest, Options
from nestbox.runtime.oci.state import State
from nestbox.runtime.processes import boot_id, pid_namespace
from nestbox.runtime.roots import has_every_id, is_mapped_user
from nestbox.runtime.times import now


def launch_options_of(request: CreateRequest, options: Options) -> LaunchOptions:
    """Return what a caller asks for beside the configuration. Raises LaunchError."""
    from nestbox.runtime.oci.activation import check_listen, check_preserved, listen_fds

    handed = listen_fds(os.environ, os.getpid())
    check_listen(handed)
    check_preserved(3 + handed, request.preserve_fds)
    directory = os.path.join(options.root, request.id)
    notify = f"{directory}/notify/notify.sock" if os.environ.get("NOTIFY_SOCKET") else None
    return LaunchOptions(
        bundle=request.bundle,
        container_id=request.id,
        no_pivot=request.no_pivot,
        no_new_keyring=request.no_new_keyring,
        preserve_fds=request.preserve_fds,
        listen_fds=handed,
        notify_socket=notify,
        rootless=_is_rootless(options),
    )


def _is_rootless(options: Options) -> bool:
    """Return whether the cgroups of the machine are not ours: for users, mapped to root or not.

    Root of a user namespace may have been given cgroups and may not; what it names is met or
    refused in both cases. With systemd the question is whose systemd it is that makes them.
    """
    if options.rootless is not None:
        return options.rootless
    if os.geteuid() != 0:
        return True
    if options.cgroup_manager == "systemd":
        return is_mapped_user(os.environ)
    return not has_every_id()


def new_state(request: CreateRequest, accepted: Accepted, options: LaunchOptions) -> State:
    """Return the state of a container of which nothing exists yet.

    Raises:
        LaunchError: another container is in its cgroup, which no state may name a second time: who
            deletes this container would end that one.
    """
    config = accepted.bundle.config
    hooks = config.hooks
    location = accepted.location
    check_unused(location)
    location = msgspec.structs.replace(location, made=missing(location))
    return State(
        id=request.id,
        oci_version=SPEC_VERSION,
        bundle=accepted.bundle.directory,
        rootfs=accepted.bundle.root,
        created=now(),
        owner=_user_name(os.geteuid()),
        owner_uid=os.geteuid(),
        hooked=bool(hooks.start_container or hooks.poststart),
        has_poststop=bool(hooks.poststop),
        has_process=config.has_process,
        annotations=config.annotations,
        boot_id=boot_id(),
        pid_namespace=pid_namespace(),
        terminal=config.process.terminal,
        cgroup=msgspec.to_builtins(location),
        namespaces=list(accepted.launch.namespaces),
        resctrl="",
        root_mount=_root_mount(accepted),
    )


def _root_mount(accepted: Accepted) -> int:
    """Return which mount the root is of, when the launch binds it onto itself in our namespace."""
    if accepted.launch.root.entry != "chroot":
        return 0
    from nestbox.runtime.oci.root_bind import mount_of

    return mount_of(accepted.bundle.root)


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
