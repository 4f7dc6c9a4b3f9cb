"""The loss of the miniature proposer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import OPTForCausalLM, PreTrainedTokenizerFast

from triptych_export.miniworld.world import BACKGROUNDS, COLOURS, SHAPES, SIZES
from triptych_export.training.proposer_batches import IGNORED, Batch

SHOWN_WEIGHT = 0.3  # of the examples
# Searches that stand still draw at high temperatures. There, what no caption says must stay
# unlikely, and what captions may say as likely as it was.
HOT_WEIGHT, HOT_TEMPERATURE = 0.5, 2.0
# Words that captions have in each other's place; each other token stands alone.
_KINDS: tuple[Iterable[str], ...] = (
    SIZES,
    ["striped", *COLOURS],
    SHAPES,
    ["in", "to", "above", "below"],
    ["top", "middle", "bottom"],
    ["left", "right", "center"],
    BACKGROUNDS,
)


def kinds_of(tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """``[V] int64``: equal numbers for tokens that captions have in each other's place."""
    kinds = torch.arange(len(tokenizer))
    for words in _KINDS:
        ids = torch.tensor(tokenizer.convert_tokens_to_ids([f"\u0120{word}" for word in words]))
        kinds[ids] = ids.min()
    return kinds


def batch_loss(model: OPTForCausalLM, batches: list[Batch], kinds: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy of what is asked for, a part of that of what is shown, and a part of
    how unlikely the right kind of word is at a high temperature."""
    asked, hot, shown = ([torch.zeros(())] for _ in range(3))
    counts = [0, 0]
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16):
            ids = torch.from_numpy(batch.ids)
            hidden = model.model.decoder(input_ids=ids, use_cache=False).last_hidden_state
            learnt, others = torch.from_numpy(batch.learnt), torch.from_numpy(batch.shown)
            logits = model.lm_head(hidden[learnt != IGNORED]).float()
            shown_logits = model.lm_head(hidden[others != IGNORED]).float()
        labels, shown_labels = learnt[learnt != IGNORED], others[others != IGNORED]
        asked.append(F.cross_entropy(logits, labels, reduction="sum"))
        hot.append(_other_kinds(logits / HOT_TEMPERATURE, labels, kinds).sum())
        shown.append(F.cross_entropy(shown_logits, shown_labels, reduction="sum"))
        counts = [counts[0] + len(labels), counts[1] + len(shown_labels)]
    learnt_loss = torch.stack(asked).sum() + HOT_WEIGHT * torch.stack(hot).sum()
    return learnt_loss / max(1, counts[0]) + SHOWN_WEIGHT * torch.stack(shown).sum() / max(
        1, counts[1]
    )


def _other_kinds(logits: torch.Tensor, labels: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """The negative logarithm of the probability of all tokens of the labels' kinds: ``[N]``."""
    alike = kinds[labels][:, None] == kinds[None]
    return logits.logsumexp(-1) - logits.masked_fill(~alike, -torch.inf).logsumexp(-1)
