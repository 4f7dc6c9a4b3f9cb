"""What a vLLM lists as its models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MODELS = "/v1/models"
UNREADABLE = "it lists its models in no form that vLLM has"


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model by its name there; `source` is its checkpoint, `context_length` None if not told."""

    name: str
    source: str
    context_length: int | None


def read_list(answer: Any) -> Sequence[ListedModel]:
    """The models of an answer of `MODELS`. Raises `ValueError` if it is none."""
    try:
        models = [_read(model) for model in answer["data"]]
    except (AttributeError, KeyError, TypeError):
        raise ValueError(UNREADABLE) from None
    return models


def _read(model: Any) -> ListedModel:
    name, length = model["id"], model.get("max_model_len")
    if not isinstance(name, str):
        raise TypeError
    source = model.get("root")
    return ListedModel(
        name,
        source if isinstance(source, str) else name,
        length if isinstance(length, int) else None,
    )
