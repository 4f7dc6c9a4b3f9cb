"""`triptych models`."""

from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.cli.options import Json, Target, Timeout
from triptych.cli.output import print_json, print_table
from triptych.client import Client


def list_models(
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """List the models of the gateway and their encoders."""
    with Client(target, timeout=timeout) as client:
        models = list(client.models.list())
    if as_json:
        print_json({"models": models})
        return
    print_table(
        ["model", "default", "family", "dimension", "encoder", "precision", "state"],
        [
            (
                model.name,
                model.default,
                model.family,
                model.dimension,
                encoder.role.removesuffix("_encoder"),
                encoder.precision,
                "ready" if encoder.ready else encoder.state_reason,
            )
            for model in models
            for encoder in model.encoders
        ],
    )
