"""An observation as JSON and back, and the fingerprint of an environment."""

from __future__ import annotations

import msgspec

from nestbox.errors import UsageError
from nestbox.outer.facts import (
    FORMAT,
    Capabilities,
    Cgroup,
    Identity,
    Kernel,
    OuterEnvironment,
    Subject,
)
from nestbox.version import VERSION

try:  # hashlib loads OpenSSL, which takes milliseconds at each start of the command
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

# What fingerprint() needs to have been observed.
FINGERPRINT_SUBJECTS = frozenset(
    {
        Subject.KERNEL,
        Subject.CAPABILITIES,
        Subject.IDENTITY,
        Subject.NAMESPACES,
        Subject.CGROUP,
        Subject.SECCOMP,
    }
)
_DIGEST_BYTES = 16
_WHAT = "cannot read the recorded environment"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial's outcome depends on: when any of it changes, the fingerprint does."""

    kernel: Kernel
    capabilities: Capabilities
    identity: Identity
    cgroup: Cgroup
    own_namespaces: dict[str, int]
    seccomp_mode: int
    seccomp_filters: int | None

    def digest(self) -> str:
        """Return the fingerprint, 32 hexadecimal digits."""
        text = msgspec.json.encode(
            [
                VERSION,
                self.kernel.boot_id,
                self.kernel.release,
                self.capabilities,
                [self.identity.uid, self.identity.gid, self.identity.groups],
                [_printable(hierarchy.path) for hierarchy in self.cgroup.hierarchies],
                sorted(self.own_namespaces.items()),
                self.seccomp_mode,
                self.seccomp_filters,
            ]
        )
        return str(blake2b(text, digest_size=_DIGEST_BYTES).hexdigest())


def _printable(path: str) -> str:
    """Return a path as text that JSON can hold."""
    return path.encode("utf-8", "backslashreplace").decode()


def fingerprint(environment: OuterEnvironment) -> str:
    """Return the key under which answers about this environment may be kept.

    It covers the boot, the kernel, the namespaces, the capability sets, the ids, our own cgroup,
    the seccomp filters and the version of nestbox. Raises ValueError when FINGERPRINT_SUBJECTS
    were not all observed.
    """
    kernel, capabilities = environment.kernel, environment.capabilities
    identity, cgroup = environment.identity, environment.cgroup
    namespaces, seccomp = environment.namespaces, environment.seccomp
    if not (kernel and capabilities and identity and cgroup and namespaces and seccomp):
        raise ValueError("a fingerprint needs: " + ", ".join(sorted(FINGERPRINT_SUBJECTS)))
    key = Key(
        kernel=kernel,
        capabilities=capabilities,
        identity=identity,
        cgroup=cgroup,
        own_namespaces=namespaces.own,
        seccomp_mode=seccomp.mode,
        seccomp_filters=seccomp.filters,
    )
    return key.digest()


def save(environment: OuterEnvironment) -> bytes:
    """Return the observation as one JSON document, with a closing newline.

    Names that are not UTF-8 are kept: their bytes are lone surrogates, written as escapes.
    """
    try:
        return msgspec.json.format(msgspec.json.encode(environment), indent=1) + b"\n"
    except UnicodeEncodeError:
        import json

        value = msgspec.to_builtins(environment)
        return json.dumps(value, ensure_ascii=True, indent=1).encode() + b"\n"


def load(text: bytes) -> OuterEnvironment:
    """Return the observation that a JSON document holds. Raises UsageError.

    The document may only have the fields of this format, each of its own type.
    """
    try:
        header = _decode(text)
    except ValueError as error:
        raise UsageError(
            _WHAT,
            cause=f"it is not JSON: {str(error)[:1].lower()}{str(error)[1:]}",
            remedy="record it again with this version of nestbox",
        ) from error
    _check_format(header)
    try:
        return msgspec.convert(header, OuterEnvironment)
    except msgspec.ValidationError as error:
        raise UsageError(
            _WHAT,
            cause=f"it has another shape: {str(error)[:1].lower()}{str(error)[1:]}",
            remedy="record it again with this version of nestbox",
        ) from error


def _decode(text: bytes) -> object:
    """Return the plain value of a JSON document. Raises ValueError."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        if rb"\ud" not in text.lower():
            raise
    import json

    value: object = json.loads(text)  # takes the lone surrogates that save() writes
    return value


def _check_format(header: object) -> None:
    """Raise UsageError unless the document says that it is of the present format."""
    number = header.get("format", FORMAT) if isinstance(header, dict) else None
    if number != FORMAT:
        raise UsageError(
            _WHAT,
            cause=f"its format is {number!r} and this nestbox knows {FORMAT}",
            remedy="record it again with this version of nestbox",
        )
