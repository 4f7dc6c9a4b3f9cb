"""Generators on servers of their own."""

from pathlib import Path
from typing import Any

from triptych_server.engines.generators.vllm.entry import RemoteModel, Style
from triptych_server.engines.generators.vllm.generator import VllmGenerator


async def remote(
    style: Style, *urls: str, folder: Path | None = None, queue: int = 8, **entry: Any
) -> VllmGenerator:
    """The generator of `folder`, or else the chat model of the servers at `urls`, loaded."""
    model = RemoteModel(name=folder.name if folder else "chat", urls=urls, style=style, **entry)
    generator = VllmGenerator(model, generators=folder.parent if folder else None, queue=queue)
    await generator.load()
    return generator
