"""A running gateway, asked as any client would: its services, its models, its API."""

import re
from collections.abc import Iterator, Mapping

import grpc

from triptych import Client, TriptychError
from triptych.errors import from_rpc_error
from triptych.health import SERVICE_UNKNOWN, SERVING, ask_health
from triptych.models import Encoder, Generator, Model
from triptych.v1 import embedding_pb2, mils_pb2, model_pb2, search_pb2, vision_language_pb2
from triptych_server.doctor.api import examine_api
from triptych_server.doctor.finding import Finding

AREA = "gateway"
SERVICES = tuple(
    service.full_name
    for file in (embedding_pb2, mils_pb2, model_pb2, search_pb2, vision_language_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)
_ON_ITS_MACHINE = "triptych doctor  # where the gateway runs, with its settings"


def examine_gateway(target: str, timeout_s: float) -> Iterator[Finding]:
    """Everything that the gateway at `target` tells; each question has `timeout_s`."""
    # Not the client's channel: that would ask a gateway which is absent again and again.
    with grpc.insecure_channel(target) as channel:
        try:
            states = {name: ask_health(channel, name, timeout_s) for name in ("", *SERVICES)}
            with Client(target, timeout=timeout_s) as client:
                models = list(client.models.list())
        except grpc.RpcError as error:
            yield absent(target, from_rpc_error(error))
            return
        except TriptychError as error:
            yield absent(target, error)
            return
        yield Finding.ok(AREA, target, f"answers, and lists {len(models)} models")
        yield from health(states)
        yield from map(model, models)
        yield from examine_api(channel, timeout_s)


def health(states: Mapping[str, str]) -> Iterator[Finding]:
    """What grpc.health.v1 says of the services by name; those not run there are fine."""
    serving = [name.rpartition(".")[2] for name, state in states.items() if state == SERVING]
    yield Finding.ok(AREA, "serving", ", ".join(filter(None, serving)) or "nothing")
    for name, state in states.items():
        if state not in (SERVING, SERVICE_UNKNOWN):
            what = name.rpartition(".")[2] or "the whole"
            yield Finding.problem(AREA, what, f"health says {state}", _ON_ITS_MACHINE)


def model(found: Model) -> Finding:
    """Whether all parts of a model are ready."""
    parts: list[tuple[str, Encoder | Generator]] = [(each.role, each) for each in found.encoders]
    if found.generator is not None:
        parts.append(("generator", found.generator))
    space = f", space {short(found.space)}" if found.space else ""
    faults = dict.fromkeys(part.state_reason for _, part in parts if not part.ready)
    if faults:
        return Finding.problem(AREA, found.name, "; ".join(faults), _ON_ITS_MACHINE)
    roles = ", ".join(role for role, _ in parts)
    return Finding.ok(AREA, found.name, f"ready{space}: {roles}")


def absent(target: str, error: TriptychError) -> Finding:
    """Why nothing could be asked."""
    if error.code == grpc.StatusCode.UNIMPLEMENTED:
        detail = "a gRPC server answers, but it is no gateway of Triptych's"
        return Finding.problem(AREA, target, detail, "triptych doctor --target HOST:PORT")
    detail = f"does not answer: {cause(error.message)}"
    return Finding.problem(AREA, target, detail, "triptych serve  # or another --target")


def short(space: str) -> str:
    """A space that can be told from others at a glance."""
    family, _, digest = space.partition(":")
    return f"{family}:{digest[:12]}" if digest else space


def cause(message: str) -> str:
    """The last of the causes that gRPC lists, without the address that stands beside it anyway."""
    last = message.partition("\n")[0].rpartition("last error: ")[2]
    return re.sub(r"^UNKNOWN: \S+:\d+: ", "", last)
