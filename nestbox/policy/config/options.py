"""What a caller of the runtime says on its command line, as far as it shapes a launch. Values."""

from __future__ import annotations

import msgspec


class LaunchOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of create, run and exec that decisions depend on."""

    bundle: str  # absolute: relative paths of the configuration are meant from there
    container_id: str = ""
    no_pivot: bool = False
    no_new_keyring: bool = False
    preserve_fds: int = 0  # descriptors that the program gets beside those of listen_fds
    listen_fds: int = 0  # sockets from descriptor 3 on, as systemd hands them over
    notify_socket: str | None = None  # outer path of the socket that systemd's messages come to
    rootless: bool = False  # the cgroups of the machine are not ours to use
    wait_for_start: bool = True  # the program is executed when `start` says so
