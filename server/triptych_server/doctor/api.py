"""Whether client and gateway were made from the same protos: the skew between two versions."""

from collections.abc import Iterator

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from triptych.v1 import (
    embedding_pb2,
    media_pb2,
    mils_pb2,
    model_pb2,
    search_pb2,
    vision_language_pb2,
)
from triptych_server.doctor.finding import Finding

AREA = "gateway"
_WHAT = "api"
_FILES = (media_pb2, embedding_pb2, mils_pb2, model_pb2, search_pb2, vision_language_pb2)
_UPGRADE_IT = "pip install --upgrade 'triptych[server]'  # where the gateway runs"
_PACKAGE = "triptych.v1"
_SHOWN = 3


def examine_api(channel: grpc.Channel, timeout_s: float) -> Iterator[Finding]:
    """Compare the protos by the gateway's reflection."""
    try:
        from triptych_server.doctor.reflection import read_files
    except ModuleNotFoundError:
        more = "pip install 'triptych[server]'"
        yield Finding.ok(AREA, _WHAT, "not compared with this client's", more)
        return
    try:
        files = read_files(channel, [file.DESCRIPTOR.name for file in _FILES], timeout_s)
    except grpc.RpcError as error:
        yield Finding.ok(AREA, _WHAT, f"not compared: reflection answers {error.code().name}")
        return
    ours = [FileDescriptorProto.FromString(file.DESCRIPTOR.serialized_pb) for file in _FILES]
    theirs = [file for file in files if file.package == _PACKAGE]
    yield compare(set().union(*map(names, ours)), set().union(*map(names, theirs)))


def compare(ours: set[str], theirs: set[str]) -> Finding:
    """By the names of all fields, values and RPCs, here and there."""
    if missing := sorted(ours - theirs):
        detail = f"the gateway is older than this client: it lacks {_some(missing)}"
        return Finding.warning(AREA, _WHAT, detail, _UPGRADE_IT)
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
    return ", ".join(each.removeprefix(f"{_PACKAGE}.") for each in items[:_SHOWN]) + more
