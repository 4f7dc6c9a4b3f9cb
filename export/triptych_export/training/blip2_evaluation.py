"""The figures of a BLIP-2 checkpoint on scenes that no training has seen.

``python -m triptych_export.training.blip2_evaluation CHECKPOINT`` prints them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, Blip2ForConditionalGeneration, PreTrainedTokenizerBase

from triptych_export.miniworld.draw import Pixels
from triptych_export.miniworld.evalset import LONG_CHATS, chat_set, question_set, retrieval_set
from triptych_export.miniworld.measures import attribute_f1, exact, is_answer
from triptych_export.miniworld.questions import QUESTION_TYPES, prompt
from triptych_export.miniworld.world import Language
from triptych_export.training.clip_model import normalise
from triptych_export.training.figures import LANGUAGES, table

CAPTION_PROMPTS: dict[Language, str] = {"en": "", "zh": "一个"}
MOST_TOKENS = 40
_CHUNK = 250


def evaluate(
    model: Blip2ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    scenes: int = 1000,
    questions: int = 2000,
    chats: int = 500,
) -> dict[str, float]:
    """Every figure by name, e.g. ``en/attribute_f1``, ``zh/vqa`` or ``en/vqa/relation``."""
    model.eval()  # type: ignore[no-untyped-call]
    figures: dict[str, float] = {}
    retrieval = retrieval_set(scenes)
    for language in LANGUAGES:
        begun = CAPTION_PROMPTS[language]
        told = generate(model, tokenizer, retrieval.pictures, [begun] * scenes)
        texts = [begun + text for text in told]
        figures[f"{language}/attribute_f1"] = attribute_f1(texts, retrieval.scenes)
        figures[f"{language}/exact"] = exact(texts, retrieval.scenes)
    conversations = {
        "vqa": question_set(questions),
        "chat": chat_set(chats),
        "long_chat": chat_set(chats, LONG_CHATS),
    }
    for name, asked in conversations.items():
        prompts = [prompt(turns[-1].text, turns[:-1]) for turns in asked.turns]
        answers = generate(model, tokenizer, asked.pictures, prompts)
        right = [
            (question, is_answer(answer, question.answer))
            for question, answer in zip(asked.questions, answers, strict=True)
        ]
        for language in LANGUAGES:
            told_right = [(q.type, good) for q, good in right if q.language == language]
            figures[f"{language}/{name}"] = float(np.mean([good for _, good in told_right]))
            for kind in QUESTION_TYPES if name == "vqa" else ():
                of_kind = [good for type_, good in told_right if type_ == kind]
                figures[f"{language}/vqa/{kind}"] = float(np.mean(of_kind))
    return figures


@torch.inference_mode()
def generate(
    model: Blip2ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    pictures: Pixels,
    prompts: Sequence[str],
) -> list[str]:
    """What the model says, greedily, after each picture and prompt."""
    image = "<image>" * model.config.num_query_tokens
    told: list[str] = []
    order = np.argsort([len(text) for text in prompts], kind="stable")
    for start in range(0, len(prompts), _CHUNK):
        chosen = order[start : start + _CHUNK]
        texts = [image + str(tokenizer.bos_token) + prompts[index] for index in chosen]
        tokens = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
        ids = model.generate(
            pixel_values=normalise(pictures[chosen]),
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            do_sample=False,
            max_new_tokens=MOST_TOKENS,
        )
        new = ids[:, tokens["input_ids"].shape[1] :]
        told += tokenizer.batch_decode(new, skip_special_tokens=True)
    back = np.argsort(order)
    return [told[index] for index in back]


def main() -> None:
    """Print the figures of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    arguments = parser.parse_args()
    model = Blip2ForConditionalGeneration.from_pretrained(arguments.checkpoint, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    print(table(evaluate(model, tokenizer)))


if __name__ == "__main__":
    main()
