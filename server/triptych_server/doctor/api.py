"""Whether client and gateway were made from the same protos: the skew between two versions."""

from collections.abc import Iterator

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from triptych.v1 import embedding_pb2, media_pb2, model_pb2, search_pb2, vision_language_pb2
from triptych_server.doctor.finding import Finding

AREA = "gateway"
_WHAT = "api"
_FILES = (media_pb2, embedding_pb2, model_pb2, search_pb2, vision_language_pb2)
_SHOWN = 3


def examine_api(channel: grpc.Channel, timeout_s: float) -> Iterator[Finding]:
    """Compare the protos by the gateway's reflection. Raises `grpc.RpcError`."""
    try:
        from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
    except ModuleNotFoundError:
        more = "pip install 'triptych[server]'"
        yield Finding.ok(AREA, _WHAT, "not compared with this client's", more)
        return
    requests = [
        reflection_pb2.ServerReflectionRequest(file_by_filename=file.DESCRIPTOR.name)
        for file in _FILES
    ]
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    theirs: set[str] = set()
    for answer in stub.ServerReflectionInfo(iter(requests), timeout=timeout_s):
        for content in answer.file_descriptor_response.file_descriptor_proto:
            theirs |= names(FileDescriptorProto.FromString(content))
    ours: set[str] = set()
    for file in _FILES:
        ours |= names(FileDescriptorProto.FromString(file.DESCRIPTOR.serialized_pb))
    yield compare(ours, {name for name in theirs if name.startswith("triptych.")})


def compare(ours: set[str], theirs: set[str]) -> Finding:
    """By the names of all fields, values and RPCs, here and there."""
    if missing := sorted(ours - theirs):
        detail = f"the gateway is older than this client: it lacks {_some(missing)}"
        return Finding.warning(AREA, _WHAT, detail, "pip install --upgrade 'triptych[server]'")
    if unknown := sorted(theirs - ours):
        detail = f"this client is older than the gateway: it lacks {_some(unknown)}"
        return Finding.warning(AREA, _WHAT, detail, "pip install --upgrade triptych")
    return Finding.ok(AREA, _WHAT, "the same as this client's")


def names(file: FileDescriptorProto) -> set[str]:
    """`package.Message.field`, `package.Enum.VALUE` and `package.Service.Method` of a file."""
    found = {
        f"{file.package}.{service.name}.{method.name}"
        for service in file.service
        for method in service.method
    }
    found |= {f"{file.package}.{e.name}.{value.name}" for e in file.enum_type for value in e.value}
    for message in file.message_type:
        found |= _names(message, file.package)
    return found


def _names(message: DescriptorProto, scope: str) -> set[str]:
    scope = f"{scope}.{message.name}"
    found = {f"{scope}.{field.name}" for field in message.field}
    found |= {f"{scope}.{e.name}.{value.name}" for e in message.enum_type for value in e.value}
    for inner in message.nested_type:
        found |= _names(inner, scope)
    return found


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(each.removeprefix("triptych.v1.") for each in items[:_SHOWN]) + more
