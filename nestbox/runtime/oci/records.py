"""The record of a container that an engine made: as for `nestbox run`, from a config.json."""

from __future__ import annotations

from nestbox.outer.probe import fingerprint_of
from nestbox.policy.prediction import predict_after_exec
from nestbox.runtime.history import record_json
from nestbox.runtime.oci.accept import Accepted
from nestbox.runtime.oci.container import RECORD, Held
from nestbox.runtime.oci.started import Started
from nestbox.runtime.oci.state import State
from nestbox.runtime.record import Record
from nestbox.version import VERSION


def keep_record(held: Held, state: State, accepted: Accepted, started: Started) -> None:
    """Write the record of a created container beside its state. Raises StateError."""
    launch, resolution = accepted.launch, accepted.resolution
    capabilities = accepted.environment.capabilities
    assert capabilities is not None
    record = Record(
        id=state.id,
        nestbox=VERSION,
        created=state.created,
        fingerprint=fingerprint_of(accepted.environment),
        environment=accepted.environment,
        request=None,
        bundle=state.bundle,
        arguments=accepted.bundle.config.process.args,
        profile="config.json",
        decisions=resolution.decisions,
        capabilities=resolution.capabilities.decisions,
        plan=(),
        plan_digest="",
        sets=launch.capabilities,
        after_exec=predict_after_exec(
            launch.capabilities,
            uid=launch.process.uid,
            program=accepted.root.program,
            securebits=0 if "user" in launch.namespaces else capabilities.securebits,
            no_new_privs=launch.process.no_new_privs,
        ),
        pid=started.pid,
        phases={},
    )
    held.write(RECORD, record_json(record))
