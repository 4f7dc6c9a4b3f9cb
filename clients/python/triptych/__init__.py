"""Client of the Triptych gateway.

    from pathlib import Path
    from triptych import Client

    with Client("127.0.0.1:50051") as client:
        vectors = client.embed(["a red circle", Path("circle.jpg")]).vectors
        caption = client.caption(Path("circle.jpg")).texts[0]

Names are imported on first use, so that the stubs of `triptych.v1` load nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triptych import aio, errors
    from triptych.chat import ChatStream, Conversation
    from triptych.client import Client
    from triptych.contents import Content, Picture
    from triptych.errors import TriptychError
    from triptych.language import (
        Answer,
        Caption,
        Captioned,
        CaptionOrder,
        Captions,
        ChatEnd,
        ChatMessage,
        ChatRole,
        ChoiceScore,
        FinishReason,
        Generation,
        Talk,
        Usage,
    )
    from triptych.mils import (
        ContrastiveScorer,
        Limits,
        MatchingScorer,
        Proposal,
        Proposed,
        ScoredText,
        Scoring,
        Seeds,
        SolvePolicy,
        SolveResult,
        SolveStep,
        SolveStop,
        Spending,
        Target,
        TargetAggregation,
    )
    from triptych.models import Encoder, Generator, Model
    from triptych.solving import SolveStream
    from triptych.types import (
        Collection,
        Deleted,
        Embedding,
        Embeddings,
        Hit,
        Hits,
        Index,
        IndexKind,
        Item,
        ItemRef,
        Query,
        Ranked,
        Ranking,
        Rerank,
        RerankKind,
        Search,
        StoredItem,
        StreamedEmbedding,
        Term,
        Timing,
        Upserted,
    )

__all__ = [
    "Answer",
    "Caption",
    "CaptionOrder",
    "Captioned",
    "Captions",
    "ChatEnd",
    "ChatMessage",
    "ChatRole",
    "ChatStream",
    "ChoiceScore",
    "Client",
    "Collection",
    "Content",
    "ContrastiveScorer",
    "Conversation",
    "Deleted",
    "Embedding",
    "Embeddings",
    "Encoder",
    "FinishReason",
    "Generation",
    "Generator",
    "Hit",
    "Hits",
    "Index",
    "IndexKind",
    "Item",
    "ItemRef",
    "Limits",
    "MatchingScorer",
    "Model",
    "Picture",
    "Proposal",
    "Proposed",
    "Query",
    "Ranked",
    "Ranking",
    "Rerank",
    "RerankKind",
    "ScoredText",
    "Scoring",
    "Search",
    "Seeds",
    "SolvePolicy",
    "SolveResult",
    "SolveStep",
    "SolveStop",
    "SolveStream",
    "Spending",
    "StoredItem",
    "StreamedEmbedding",
    "Talk",
    "Target",
    "TargetAggregation",
    "Term",
    "Timing",
    "TriptychError",
    "Upserted",
    "Usage",
    "aio",
    "errors",
]

_MODULES = {
    "ChatStream": "triptych.chat",
    "Conversation": "triptych.chat",
    "Client": "triptych.client",
    "Content": "triptych.contents",
    "Picture": "triptych.contents",
    "TriptychError": "triptych.errors",
    "SolveStream": "triptych.solving",
    **dict.fromkeys(("Encoder", "Generator", "Model"), "triptych.models"),
    **dict.fromkeys(
        (
            "Answer",
            "Caption",
            "CaptionOrder",
            "Captioned",
            "Captions",
            "ChatEnd",
            "ChatMessage",
            "ChatRole",
            "ChoiceScore",
            "FinishReason",
            "Generation",
            "Talk",
            "Usage",
        ),
        "triptych.language",
    ),
    **dict.fromkeys(
        (
            "ContrastiveScorer",
            "Limits",
            "MatchingScorer",
            "Proposal",
            "Proposed",
            "ScoredText",
            "Scoring",
            "Seeds",
            "SolvePolicy",
            "SolveResult",
            "SolveStep",
            "SolveStop",
            "Spending",
            "Target",
            "TargetAggregation",
        ),
        "triptych.mils",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("aio", "errors"):
        return import_module(f"triptych.{name}")
    return getattr(import_module(_MODULES.get(name, "triptych.types")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
