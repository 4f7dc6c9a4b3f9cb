"""The demo's captions, questions and conversations."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queries import CIRCLE, CROSS, DRAWN, PAIR, STAR, TRIANGLE, drawn

from triptych import Caption, Client
from triptych.contact_sheet import Turn

CHINESE = "一个"  # begins a Chinese caption as `a` begins an English one
QUESTIONS: Mapping[str, Sequence[str]] = {
    STAR: ("what colour is the star?", "where is the star?", "背景是什么颜色?"),
    PAIR: ("what is to the left of the yellow square?", "is the circle plain or striped?"),
    TRIANGLE: ("is the triangle small or large?", "how many stars are there?", "有几个物体?"),
    CIRCLE: ("is the red circle above the blue star?", "what shape is the blue object?"),
    CROSS: ("what shape is the green object?", "is there a pink heart?", "心形有多大?"),
}
# Later questions mean by `it` what an earlier one spoke of.
CHATS: Mapping[str, Sequence[str]] = {
    STAR: ("what shape is the red object?", "where is it?", "is it plain or striped?"),
    PAIR: ("what is in the picture?", "what colour is the square?", "is it small or large?"),
    TRIANGLE: ("图中有什么?", "三角形在哪里?", "它是什么颜色?"),
    CIRCLE: ("what shape is the blue object?", "what size is it?", "另一个物体是什么颜色?"),
    CROSS: ("心形是什么颜色?", "它有多大?", "背景是什么颜色?"),
}


@dataclass(frozen=True, slots=True)
class Described:
    """A picture with a caption of each prompt; `label` is its name, or what was drawn."""

    label: str
    picture: bytes
    captions: Sequence[Caption]


@dataclass(frozen=True, slots=True)
class Discussed:
    """A picture with questions and answers about it."""

    label: str
    picture: bytes
    turns: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said about pictures, and how many milliseconds each of the three took."""

    described: Sequence[Described] = ()
    answered: Sequence[Discussed] = ()
    discussed: Sequence[Discussed] = ()
    milliseconds: tuple[float, float, float] = (0, 0, 0)

    def summary(self) -> dict[str, Any]:
        """For the report."""
        return {
            "milliseconds": [round(each, 2) for each in self.milliseconds],
            "captions": [
                {
                    "picture": each.label,
                    "captions": [
                        {
                            "text": caption.text,
                            "log_probability": round(caption.log_probability, 4),
                            "clip": caption.clip_score,
                            "itm": caption.itm_score,
                        }
                        for caption in each.captions
                    ],
                }
                for each in self.described
            ],
            "answers": list(map(_summary, self.answered)),
            "chats": list(map(_summary, self.discussed)),
        }


def talk_about_drawn(client: Client, *, itm: bool) -> Talk:
    """Captions in both languages, questions and chats about pictures of the miniature world."""
    pictures = {caption: drawn(caption) for caption in DRAWN}
    began = time.perf_counter()
    described = describe(client, pictures, ["", CHINESE], itm=itm)
    asked = time.perf_counter()
    answered = [
        Discussed(label, pictures[label], ask(client, pictures[label], questions))
        for label, questions in QUESTIONS.items()
    ]
    chatted = time.perf_counter()
    discussed = [
        Discussed(label, pictures[label], discuss(client, pictures[label], questions))
        for label, questions in CHATS.items()
    ]
    ended = time.perf_counter()
    spans = ((asked - began) * 1000, (chatted - asked) * 1000, (ended - chatted) * 1000)
    return Talk(described, answered, discussed, spans)


def talk_about(client: Client, pictures: Mapping[str, bytes], *, itm: bool) -> Talk:
    """Captions of pictures of the user's."""
    began = time.perf_counter()
    described = describe(client, pictures, [""], itm=itm)
    return Talk(described, milliseconds=((time.perf_counter() - began) * 1000, 0, 0))


def describe(
    client: Client, pictures: Mapping[str, bytes], prompts: Sequence[str], *, itm: bool
) -> list[Described]:
    """The best caption of each picture by each prompt, scored; without those that failed."""
    by_prompt = [
        client.caption(pictures.values(), prompt=prompt, clip=True, itm=itm) for prompt in prompts
    ]
    return [
        Described(label, picture, [caption for each in results for caption in each.captions])
        for (label, picture), *results in zip(pictures.items(), *by_prompt, strict=True)
        if not any(each.error for each in results)
    ]


def ask(client: Client, picture: bytes, questions: Sequence[str]) -> list[Turn]:
    """Questions that know nothing of each other."""
    return [Turn(question, client.answer(picture, question).text) for question in questions]


def discuss(client: Client, picture: bytes, questions: Sequence[str]) -> list[Turn]:
    """Questions that know what was said before."""
    conversation = client.conversation(picture)
    return [Turn(question, conversation.ask(question).read()) for question in questions]


def _summary(discussed: Discussed) -> dict[str, Any]:
    return {
        "picture": discussed.label,
        "turns": [{"question": turn.question, "answer": turn.answer} for turn in discussed.turns],
    }
