"""A tiny vision-language model with random weights that chats: Idefics3, as SmolVLM is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from generators import BEGIN_ID, PAD_ID, VOCABULARY, tiny_tokenizer
from PIL import Image
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
)

from triptych_server.engines.generators.protocol import ChatPrompt, Picture

CONTEXT_LENGTH = 192
SIDE, PATCH, FOLDED = 32, 8, 2  # a picture is (32 / 8 / 2) squared tokens
_MARKS = ("<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
_SPARE_ROWS = 16
_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: "
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<image>{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if not (loop.last and message.role == 'assistant') %}<end_of_utterance>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


@dataclass(frozen=True, slots=True)
class ChatModel:
    """Model and processor of transformers."""

    model: Any
    processor: Any

    def save(self, folder: Path) -> Path:
        """Write the checkpoint that a vLLM serves."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        return folder

    def answer(self, prompt: ChatPrompt, tokens: int) -> str:
        """What greedy search answers, or continues where the last message is the assistant's.

        Without half a character at its end, which vLLM keeps back.
        """
        continued = prompt.messages[-1].speaker == "assistant"
        text = self.processor.apply_chat_template(
            [_message(each.speaker, each.parts) for each in prompt.messages],
            add_generation_prompt=not continued,
        )
        pictures = [
            Image.open(BytesIO(part.data)).convert("RGB")
            for each in prompt.messages
            for part in each.parts
            if isinstance(part, Picture)
        ]
        inputs = self.processor(
            text=text, images=pictures or None, return_tensors="pt", add_special_tokens=False
        )
        ids = self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        answer: str = self.processor.tokenizer.decode(
            ids[0, inputs.input_ids.shape[1] :], skip_special_tokens=True
        )
        return answer.rstrip("\ufffd")


def tiny_chat_model() -> ChatModel:
    """Its answers vary with pictures and texts."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(_MARKS)})
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    config = Idefics3Config(
        vision_config={**small, "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH},
        text_config=LlamaConfig(
            **small,
            num_attention_heads=2,
            num_key_value_heads=2,
            vocab_size=VOCABULARY + _SPARE_ROWS,
            max_position_embeddings=CONTEXT_LENGTH,
            bos_token_id=BEGIN_ID,
            eos_token_id=BEGIN_ID,
            pad_token_id=PAD_ID,
            tie_word_embeddings=False,
        ).to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=FOLDED,
        pad_token_id=PAD_ID,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = Idefics3ForConditionalGeneration(config)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    side = {"longest_edge": SIDE}
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(do_image_splitting=False, size=side, max_image_size=side),
        tokenizer,
        image_seq_len=(SIDE // PATCH // FOLDED) ** 2,
        chat_template=_TEMPLATE,
    )
    return ChatModel(model.eval().requires_grad_(False), processor)


def _message(role: str, parts: Sequence[Any]) -> dict[str, Any]:
    content = [
        {"type": "image"} if isinstance(part, Picture) else {"type": "text", "text": part.text}
        for part in parts
    ]
    return {"role": str(role), "content": content}
