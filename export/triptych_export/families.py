"""The architectures that can be exported, and what their configs leave unsaid."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class TextTraits:
    """How a family was trained on text.

    `context_length` is the longest text seen in training where the position table is larger.
    Without `masked` the network saw its padding, so texts must be filled to the context length.
    With `ignores_padding_side` its tokenizer may say "left", as those of language models do.
    """

    masked: bool
    context_length: int | None = None
    ignores_padding_side: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture, named by the `model_type` of its config.json.

    `score` is how a logit becomes a probability; None for networks that compare no pairs.
    """

    name: str
    text: TextTraits | None
    score: str | None

    def image_features(self, model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
        """Features of normalised pictures `[N, 3, H, W]`: `[N, D]`, of any length."""
        run = model if self.text is None else model.get_image_features
        features: torch.Tensor = run(pixel_values=pixel_values).pooler_output
        return features

    def text_features(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """Features of token ids `[N, L]`: `[N, D]`, of any length."""
        masked = self.text is not None and self.text.masked
        output = model.get_text_features(
            input_ids=input_ids, attention_mask=attention_mask if masked else None
        )
        features: torch.Tensor = output.pooler_output
        return features


FAMILIES = {
    family.name: family
    for family in (
        Family("clip", TextTraits(masked=True), "softmax"),
        # Its BERT has 512 positions, of which training used 52.
        Family("chinese_clip", TextTraits(masked=True, context_length=52), "softmax"),
        # It pools at the last position, which is padding for all but the longest texts.
        Family("siglip", TextTraits(masked=False), "sigmoid"),
        Family("dinov2", None, None),
    )
}

BLIP2_TEXT = TextTraits(masked=True, ignores_padding_side=True)
BLIP2 = Family("blip_2", BLIP2_TEXT, None)
