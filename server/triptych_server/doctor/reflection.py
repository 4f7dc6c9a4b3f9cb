"""Protos as a gateway reflects them."""

from collections.abc import Sequence

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc


def read_files(
    channel: grpc.Channel, names: Sequence[str], timeout_s: float
) -> list[FileDescriptorProto]:
    """The gateway's own versions of these files, those that it has. Raises `grpc.RpcError`."""
    requests = [reflection_pb2.ServerReflectionRequest(file_by_filename=name) for name in names]
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    return [
        FileDescriptorProto.FromString(content)
        for answer in stub.ServerReflectionInfo(iter(requests), timeout=timeout_s)
        for content in answer.file_descriptor_response.file_descriptor_proto
    ]
