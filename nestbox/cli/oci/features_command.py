"""`nestbox-runtime features`: what this runtime can do, as JSON (runtime-spec, features.md)."""

from __future__ import annotations

import sys

from nestbox.cli.oci.command import FLAG, Call, Command, Option


def _features(call: Call) -> int:
    from nestbox.oci.features import features_text

    text = features_text()
    sys.stdout.write(_with_host(text) if call.values.flag("host") else text)
    return 0


def _with_host(text: str) -> str:
    """Return the document with a member ``host``."""
    import msgspec

    from nestbox.runtime.context import context_of_process
    from nestbox.runtime.oci.host_features import host_features

    host = msgspec.to_builtins(host_features(context_of_process()))
    document = msgspec.json.encode({**msgspec.json.decode(text), "host": host})
    return msgspec.json.format(document, indent=4).decode() + "\n"


COMMAND = Command(
    "features",
    "show the enabled features",
    _features,
    arguments="",
    description="Show the enabled features.\nThe result is parsable as a JSON.\nSee "
    "https://github.com/opencontainers/runtime-spec/blob/main/features.md for its members.",
    options=(Option("host", FLAG, "add what can be used on this host, and its fingerprint"),),
    minimum=0,
    maximum=0,
)
