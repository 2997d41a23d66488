"""The messages of the Container Runtime Interface that the tests send and read, as one table.

A line is a message: its name, then `field:number` with `:type` unless it is a string, `*` before
what is repeated and `%` before a map of strings. The numbers are those of the interface, v1; what
the tests do not use is left out, which the wire format allows.

Source: the Kubernetes Container Runtime Interface, runtime.v1.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "runtime.v1"
_MESSAGES = r"""
VersionRequest version:1
VersionResponse version:1 runtime_name:2 runtime_version:3 runtime_api_version:4
Int64Value value:1:int64
UInt64Value value:1:uint64
PodSandboxMetadata name:1 uid:2 namespace:3 attempt:4:uint32
NamespaceOption network:1:int32 pid:2:int32 ipc:3:int32 target_id:4
SecurityProfile profile_type:1:int32 localhost_ref:2
LinuxSandboxSecurityContext namespace_options:1:NamespaceOption run_as_user:3:Int64Value \
    readonly_rootfs:4:bool privileged:6:bool seccomp:9:SecurityProfile
LinuxPodSandboxConfig cgroup_parent:1 security_context:2:LinuxSandboxSecurityContext %sysctls:3
PortMapping protocol:1:int32 container_port:2:int32 host_port:3:int32 host_ip:4
PodSandboxConfig metadata:1:PodSandboxMetadata hostname:2 log_directory:3 \
    *port_mappings:5:PortMapping %labels:6 %annotations:7 linux:8:LinuxPodSandboxConfig
RunPodSandboxRequest config:1:PodSandboxConfig runtime_handler:2
RunPodSandboxResponse pod_sandbox_id:1
StopPodSandboxRequest pod_sandbox_id:1
StopPodSandboxResponse
RemovePodSandboxRequest pod_sandbox_id:1
RemovePodSandboxResponse
PodSandboxStatusRequest pod_sandbox_id:1 verbose:2:bool
PodSandboxNetworkStatus ip:1
PodSandboxStatus id:1 state:3:int32 network:5:PodSandboxNetworkStatus runtime_handler:9
PodSandboxStatusResponse status:1:PodSandboxStatus %info:2
PodSandbox id:1 state:3:int32
ListPodSandboxRequest
ListPodSandboxResponse *items:1:PodSandbox
ContainerMetadata name:1 attempt:2:uint32
ImageSpec image:1
KeyValue key:1 value:2
Mount container_path:1 host_path:2 readonly:3:bool propagation:5:int32
Device container_path:1 host_path:2 permissions:3
Capability *add_capabilities:1 *drop_capabilities:2
LinuxContainerResources cpu_period:1:int64 cpu_quota:2:int64 cpu_shares:3:int64 \
    memory_limit_in_bytes:4:int64 oom_score_adj:5:int64 cpuset_cpus:6
LinuxContainerSecurityContext capabilities:1:Capability privileged:2:bool \
    namespace_options:3:NamespaceOption run_as_user:5:Int64Value run_as_username:6 \
    readonly_rootfs:7:bool *supplemental_groups:8:int64 no_new_privs:11:bool \
    run_as_group:12:Int64Value *masked_paths:13 *readonly_paths:14 seccomp:15:SecurityProfile
LinuxContainerConfig resources:1:LinuxContainerResources \
    security_context:2:LinuxContainerSecurityContext
ContainerConfig metadata:1:ContainerMetadata image:2:ImageSpec *command:3 *args:4 working_dir:5 \
    *envs:6:KeyValue *mounts:7:Mount *devices:8:Device %labels:9 %annotations:10 log_path:11 \
    stdin:12:bool stdin_once:13:bool tty:14:bool linux:15:LinuxContainerConfig
CreateContainerRequest pod_sandbox_id:1 config:2:ContainerConfig sandbox_config:3:PodSandboxConfig
CreateContainerResponse container_id:1
StartContainerRequest container_id:1
StartContainerResponse
StopContainerRequest container_id:1 timeout:2:int64
StopContainerResponse
RemoveContainerRequest container_id:1
RemoveContainerResponse
ContainerStatusRequest container_id:1 verbose:2:bool
ContainerStatus id:1 state:3:int32 exit_code:7:int32 reason:10 message:11
ContainerStatusResponse status:1:ContainerStatus %info:2
UpdateContainerResourcesRequest container_id:1 linux:2:LinuxContainerResources
UpdateContainerResourcesResponse
ExecSyncRequest container_id:1 *cmd:2 timeout:3:int64
ExecSyncResponse stdout:1:bytes stderr:2:bytes exit_code:3:int32
ExecRequest container_id:1 *cmd:2 tty:3:bool stdin:4:bool stdout:5:bool stderr:6:bool
ExecResponse url:1
CpuUsage timestamp:1:int64 usage_core_nano_seconds:2:UInt64Value
MemoryUsage timestamp:1:int64 working_set_bytes:2:UInt64Value
ContainerStats cpu:2:CpuUsage memory:3:MemoryUsage
ContainerStatsRequest container_id:1
ContainerStatsResponse stats:1:ContainerStats
"""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "uint32": _Field.TYPE_UINT32,
    "int64": _Field.TYPE_INT64,
    "uint64": _Field.TYPE_UINT64,
}


def _add_field(message: Any, text: str) -> None:
    """Add one field of the table to a message."""
    mark, text = (text[0], text[1:]) if text[0] in "*%" else ("", text)
    name, number, kind = (*text.split(":"), "string")[:3]
    repeated = _Field.LABEL_REPEATED if mark else _Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=int(number), label=repeated)
    if mark == "%":
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        for key, place in (("key", 1), ("value", 2)):
            entry.field.add(
                name=key, number=place, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING
            )
        field.type, field.type_name = (
            _Field.TYPE_MESSAGE,
            f".{PACKAGE}.{message.name}.{entry.name}",
        )
    elif kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"


def message_types() -> dict[str, Any]:
    """Return the class of each message, by its name."""
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package=PACKAGE, syntax="proto3")
    for line in _MESSAGES.replace("\\\n", "").split("\n"):
        if words := line.split():
            message = file.message_type.add(name=words[0])
            for text in words[1:]:
                _add_field(message, text)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{PACKAGE}.{message.name}")
        )
        for message in file.message_type
    }
