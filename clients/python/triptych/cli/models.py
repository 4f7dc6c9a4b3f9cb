"""`triptych models`."""

from collections.abc import Iterator

from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.cli.options import Json, Target, Timeout
from triptych.cli.output import print_json, print_table
from triptych.client import Client
from triptych.models import Encoder, Generator, Model


def list_models(
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """List the models of the gateway: their encoders by role, and their generators."""
    with Client(target, timeout=timeout) as client:
        models = list(client.models.list())
    if as_json:
        print_json({"models": models})
        return
    print_table(
        ["model", "default", "family", "dimension", "role", "precision", "prompt", "state"],
        [
            (
                model.name,
                model.default,
                model.family,
                model.dimension or None,
                role,
                part.precision,
                _prompt(part) if isinstance(part, Generator) else None,
                "ready" if part.ready else part.state_reason,
            )
            for model in models
            for role, part in _parts(model)
        ],
    )


def _prompt(generator: Generator) -> str:
    """How long a prompt may be, and how many pictures it may hold."""
    tokens = f"{generator.context_length:,} tokens" if generator.context_length else "not known yet"
    match generator.max_images:
        case 0:
            return f"{tokens}, no picture"
        case 1:
            return f"{tokens}, 1 picture"
        case several:
            return f"{tokens}, {several} pictures"


def _parts(model: Model) -> Iterator[tuple[str, Encoder | Generator]]:
    for encoder in model.encoders:
        yield encoder.role, encoder
    if model.generator is not None:
        yield f"{_kind(model.generator)} ({model.generator.family})", model.generator


def _kind(generator: Generator) -> str:
    if generator.chat:
        return "chat model"
    return "proposer" if generator.proposals and not generator.max_images else "generator"
