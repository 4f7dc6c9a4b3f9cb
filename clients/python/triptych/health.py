"""What grpc.health.v1 says of a gateway."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = "SERVING"
SERVICE_UNKNOWN = "SERVICE_UNKNOWN"


def ask_health(channel: grpc.Channel, service: str, timeout_s: float) -> str:
    """The status of a service, the empty name being the gateway: a name of `HealthCheckResponse`'s
    `ServingStatus`, SERVICE_UNKNOWN where it is not run. Raises `grpc.RpcError`."""
    request = health_pb2.HealthCheckRequest(service=service)
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return SERVICE_UNKNOWN
        raise
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
