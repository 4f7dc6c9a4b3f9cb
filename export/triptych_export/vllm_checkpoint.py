"""The part of a BLIP-2 that a vLLM serves, as a checkpoint in Hugging Face's layout."""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from transformers import Blip2Processor

from triptych_export.checkpoint import Checkpoint

FOLDER = "checkpoint"
TEMPLATE_FILE = "chat_template.jinja"
# A text as it is: the gateway knows the forms in which BLIP-2 was trained. Pictures stand first
# whatever a template says.
_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)


class VllmStyle(StrEnum):
    """What the gateway sends to vLLM; the names are those of its settings."""

    PROMPT_EMBEDS = "prompt_embeds"
    IMAGE_EMBEDS = "image_embeds"


def write_vllm_checkpoint(loaded: Checkpoint, style: VllmStyle, folder: Path) -> None:
    """Write what a vLLM of `style` serves into `folder`, which is made.

    That is the language model alone, or a BLIP-2 without its encoders, whose work the gateway has
    done. Weights are stored in half the bytes when they lose nothing by it.
    """
    if style is VllmStyle.PROMPT_EMBEDS:
        model, weights = loaded.model.language_model, loaded.model.language_model.state_dict()
        loaded.tokenizer.save_pretrained(folder)
    else:
        model, weights = loaded.model, _without_encoders(loaded.model.state_dict())
        queries = loaded.model.config.num_query_tokens
        processor = Blip2Processor(  # type: ignore[no-untyped-call]  # no annotations
            loaded.processor, loaded.tokenizer, num_query_tokens=queries
        )
        processor.save_pretrained(folder)
    halves = {name: weight.half() for name, weight in weights.items()}
    lossless = all(
        torch.equal(half.float(), weights[name].float()) for name, half in halves.items()
    )
    model.save_pretrained(folder, state_dict=halves if lossless else weights)
    _declare(folder / "config.json", "float16" if lossless else "float32")
    (folder / TEMPLATE_FILE).write_text(_TEMPLATE, encoding="utf-8")


def _without_encoders(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: weight
        for name, weight in weights.items()
        if name.startswith("language_model.") or name == "query_tokens"
    }


def _declare(path: Path, dtype: str) -> None:
    """Name the type of the weights, in which vLLM computes unless it is told otherwise."""
    config = json.loads(path.read_text(encoding="utf-8"))
    for part in (config, config.get("text_config", {})):
        part["dtype"] = dtype
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
