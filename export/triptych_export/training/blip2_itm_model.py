"""The miniature BLIP-2 for image-text matching: a plain ``Blip2ForImageTextRetrieval``.

Its functions start from the patches of the vision tower, which is that of the generating BLIP-2 and
stays as it is: patches computed once serve both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from tokenizers import AddedToken
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    PreTrainedTokenizerFast,
)

from triptych_export.training.blip2_model import WIDTH, qformer_config
from triptych_export.training.blip2_tokenizer import IMAGE
from triptych_export.training.tokenizer import CONTEXT_LENGTH, build_tokenizer

_QUERY_WEIGHTS = ("intermediate_query", "output_query")


def build_itm_tokenizer() -> PreTrainedTokenizerFast:
    """The miniature CLIP's tokenizer, with the token that stands for a picture's queries."""
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([AddedToken(IMAGE, normalized=False, special=True)], special_tokens=True)
    return tokenizer


def build_itm_model(
    tokenizer: PreTrainedTokenizerFast, generation: Blip2ForConditionalGeneration
) -> Blip2ForImageTextRetrieval:
    """A matcher with the frozen tower of ``generation``, that starts from its Q-Former."""
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT_LENGTH,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = generation.vision_model.config.to_dict()
    vision.pop("dtype", None)
    config = Blip2Config(
        vision_config=vision,
        qformer_config=qformer_config(text=True, **text),
        text_config={"model_type": "opt"},  # this model has none; the configuration wants one
        num_query_tokens=generation.config.num_query_tokens,
        image_text_hidden_size=WIDTH,
        image_token_index=tokenizer.get_vocab()[IMAGE],
    )
    config._attn_implementation = "eager"
    model = Blip2ForImageTextRetrieval(config)
    model.vision_model.load_state_dict(generation.vision_model.state_dict())
    model.vision_model.requires_grad_(False)
    known = generation.qformer.state_dict()
    for name in list(known):  # the text's own layers start as the queries' do
        for part in _QUERY_WEIGHTS:
            known[name.replace(part, part.removesuffix("_query"))] = known[name]
    model.qformer.load_state_dict(known)
    with torch.no_grad():
        model.query_tokens.copy_(generation.query_tokens)
    return model


def match_logits(
    model: Blip2ForImageTextRetrieval,
    patches: torch.Tensor,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
) -> torch.Tensor:
    """``[N, 2]``: no match, match; one picture ``[N, P, W]`` for each text ``[N, T]``."""
    queries = model.query_tokens.expand(len(patches), -1, -1)
    seen = attention_mask.new_ones(queries.shape[:2])
    read = model.qformer(
        query_embeds=model.embeddings(input_ids=input_ids, query_embeds=queries),
        query_length=queries.shape[1],
        attention_mask=torch.cat([seen, attention_mask], dim=1),
        encoder_hidden_states=patches,
    ).last_hidden_state
    logits: torch.Tensor = model.itm_head(read[:, : queries.shape[1]]).mean(dim=1)
    return logits.float()


def picture_features(model: Blip2ForImageTextRetrieval, patches: torch.Tensor) -> torch.Tensor:
    """L2-normalised features of each query, ``[N, Q, D]``."""
    queries = model.query_tokens.expand(len(patches), -1, -1)
    read = model.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state
    return F.normalize(model.vision_projection(read).float(), dim=-1)


def text_features(
    model: Blip2ForImageTextRetrieval, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """L2-normalised features of each text, ``[N, D]``."""
    read = model.qformer(
        query_embeds=model.embeddings(input_ids=input_ids),
        query_length=0,
        attention_mask=attention_mask,
    ).last_hidden_state
    return F.normalize(model.text_projection(read[:, 0]).float(), dim=-1)
