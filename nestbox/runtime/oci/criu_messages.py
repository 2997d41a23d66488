"""The messages of CRIU's service as bytes, for the members that a runtime uses. Pure.

They are few and flat, so that they need no library for protocol buffers: a member is a number, a
truth value, a text, or another message; several of one kind are a tuple.

Source: criu/images/rpc.proto; protobuf.dev, "Encoding".
"""

from __future__ import annotations

from typing import Any, Final

INT, BOOL, TEXT = "int", "bool", "text"

# criu_req_type
DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 4, 6, 9, 10
TYPE_NAMES: Final = {
    DUMP: "DUMP", RESTORE: "RESTORE", PRE_DUMP: "PRE_DUMP", NOTIFY: "NOTIFY",
    FEATURE_CHECK: "FEATURE_CHECK", VERSION: "VERSION",
}  # fmt: skip
# criu_cg_mode, by the words of --manage-cgroups-mode
CGROUP_MODES: Final = {"": 6, "ignore": 0, "soft": 3, "full": 4, "strict": 5}

_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "request": {
        "type": (1, INT),
        "opts": (2, "options"),
        "notify_success": (3, BOOL),
        "features": (5, "features"),
    },
    "response": {
        "type": (1, INT),
        "success": (2, BOOL),
        "restore": (4, "restored"),
        "notify": (5, "notification"),
        "cr_errno": (7, INT),
        "features": (8, "features"),
        "cr_errmsg": (9, TEXT),
        "version": (10, "version"),
    },
    "options": {
        "images_dir_fd": (1, INT),
        "pid": (2, INT),
        "leave_running": (3, BOOL),
        "ext_unix_sk": (4, BOOL),
        "tcp_established": (5, BOOL),
        "evasive_devices": (6, BOOL),
        "shell_job": (7, BOOL),
        "file_locks": (8, BOOL),
        "log_level": (9, INT),
        "log_file": (10, TEXT),
        "ps": (11, "page_server"),
        "notify_scripts": (12, BOOL),
        "root": (13, TEXT),
        "parent_img": (14, TEXT),
        "track_mem": (15, BOOL),
        "auto_dedup": (16, BOOL),
        "work_dir_fd": (17, INT),
        "link_remap": (18, BOOL),
        "ext_mnt": (23, "pair"),
        "manage_cgroups": (24, BOOL),
        "cg_root": (25, "cgroup_root"),
        "rst_sibling": (26, BOOL),
        "inherit_fd": (27, "inherited"),
        "manage_cgroups_mode": (34, INT),
        "external": (37, TEXT),
        "empty_ns": (38, INT),
        "join_ns": (39, "namespace"),
        "freeze_cgroup": (44, TEXT),
        "tcp_skip_in_flight": (46, BOOL),
        "lazy_pages": (48, BOOL),
        "status_fd": (49, INT),
        "orphan_pts_master": (50, BOOL),
        "config_file": (51, TEXT),
        "lsm_profile": (53, TEXT),
        "lsm_mount_context": (63, TEXT),
    },
    "page_server": {"address": (1, TEXT), "port": (2, INT)},
    "pair": {"key": (1, TEXT), "val": (2, TEXT)},
    "inherited": {"key": (1, TEXT), "fd": (2, INT)},
    "cgroup_root": {"ctrl": (1, TEXT), "path": (2, TEXT)},
    "namespace": {"ns": (1, TEXT), "ns_file": (2, TEXT)},
    "features": {"mem_track": (1, BOOL), "lazy_pages": (2, BOOL)},
    "restored": {"pid": (1, INT)},
    "notification": {"script": (1, TEXT), "pid": (2, INT)},
    "version": {"major_number": (1, INT), "minor_number": (2, INT), "sublevel": (4, INT)},
}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}
_MASK64: Final = (1 << 64) - 1
_MAXIMUM_VARINT_BYTES: Final = 10


def encode(message: str, members: dict[str, Any]) -> bytes:
    """Return a message of this kind as bytes; a member that is None is left out.

    Raises:
        KeyError: it has no such member.
    """
    table = _MESSAGES[message]
    data = bytearray()
    for name, value in members.items():
        number, kind = table[name]
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None:
                data += _encode_member(number, kind, one)
    return bytes(data)


def _encode_member(number: int, kind: str, value: Any) -> bytes:
    if kind in {INT, BOOL}:
        # A negative number is sent as one of 64 bits.
        return _varint(number << 3 | _VARINT) + _varint(int(value) & _MASK64)
    data = value.encode(errors="surrogateescape") if kind == TEXT else encode(kind, value)
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def decode(message: str, data: bytes) -> dict[str, Any]:
    """Return the members of a message that are known; of one that comes twice, the last.

    Raises:
        ValueError: the message is cut short or malformed.
    """
    table = {number: (name, kind) for name, (number, kind) in _MESSAGES[message].items()}
    members: dict[str, Any] = {}
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        value, position = _read_value(data, position, tag & 7)
        name, kind = table.get(tag >> 3, ("", ""))
        if name:
            members[name] = _decoded(kind, value)
    return members


def _read_value(data: bytes, position: int, wire: int) -> tuple[int | bytes, int]:
    if wire == _VARINT:
        return _read_varint(data, position)
    if wire == _BYTES:
        size, position = _read_varint(data, position)
    elif wire in _FIXED_SIZES:
        size = _FIXED_SIZES[wire]
    else:
        raise ValueError(f"unknown wire type {wire}")
    end = position + size
    if end > len(data):
        raise ValueError("the message is cut short")
    return data[position:end], end


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAXIMUM_VARINT_BYTES):
        if position + index >= len(data):
            raise ValueError("the message is cut short")
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & _MASK64, position + index + 1
    raise ValueError("a number is too long")


def _decoded(kind: str, value: int | bytes) -> Any:
    if isinstance(value, int) != (kind in {INT, BOOL}):
        raise ValueError("a member has another type")
    if isinstance(value, int):
        if kind == BOOL:
            return bool(value)
        return value - (1 << 64) if value >> 63 else value
    return value.decode(errors="surrogateescape") if kind == TEXT else decode(kind, value)
