"""What Triton benchmarks are played on: a repository, and a gateway in front of Tritons."""

import shutil
from pathlib import Path

from baseline import entry_of
from bench import BUILD, full_size_repository
from google.protobuf import text_format
from parts import part_of
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from triptych_server.engines.encoders.repository import CONFIG, read_config
from triptych_server.engines.encoders.spec import Role
from triptych_server.launch import GatewayProcess


def gateway_on(*tritons: str, assets: Path) -> GatewayProcess:
    """A gateway on the Tritons at these addresses; `assets` is the repository that they serve."""
    flags = ("--encoders", f"triton://{','.join(tritons)}", "--assets", assets)
    return GatewayProcess(*flags, "--data", BUILD / "data", log=BUILD / "gateway.log")


def full_size_on_every_core(cores: int) -> Path:
    """The full-size ViT-B/32 with an instance a core of its image encoder, made once.

    Shipped configs name no instances, of which Triton then makes one, on one core of this CPU.
    """
    repository = BUILD / f"models-x{cores}"
    if not repository.exists():
        source = full_size_repository()
        with part_of(repository) as part:
            shutil.copytree(source, part)
            path = part / entry_of(source, Role.IMAGE).spec.name / CONFIG
            config = read_config(path)
            config.instance_group.add(count=cores, kind=ModelInstanceGroup.KIND_CPU)
            path.write_text(text_format.MessageToString(config))
    return repository
