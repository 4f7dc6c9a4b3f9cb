"""Callers' values to the request messages of captions, answers and chats; see `requests`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

from triptych import contents
from triptych.contents import Picture
from triptych.language import CaptionOrder, ChatMessage, ChatRole, Generation, Talk
from triptych.requests import batches, fill, several
from triptych.v1 import vision_language_pb2

CAPTION_IMAGES = 64  # pictures that one Caption call takes

_ORDERS = {
    None: vision_language_pb2.CAPTION_ORDER_UNSPECIFIED,
    CaptionOrder.LOG_PROBABILITY: vision_language_pb2.CAPTION_ORDER_LOG_PROBABILITY,
    CaptionOrder.CLIP: vision_language_pb2.CAPTION_ORDER_CLIP,
    CaptionOrder.ITM: vision_language_pb2.CAPTION_ORDER_ITM,
}
_ROLES = {
    ChatRole.USER: vision_language_pb2.CHAT_ROLE_USER,
    ChatRole.ASSISTANT: vision_language_pb2.CHAT_ROLE_ASSISTANT,
}


def caption(
    images: Picture | Iterable[Picture],
    *,
    prompt: str,
    num_captions: int,
    generation: Generation | None,
    clip: bool | str,
    itm: bool | str,
    order_by: CaptionOrder | None,
    model: str,
) -> Iterator[vision_language_pb2.CaptionRequest]:
    """As many requests as needed. All pictures are checked now, their files read one by one."""
    contents.check_text(prompt, "prompt")
    pictures = several(images, "images")
    for position, picture in enumerate(pictures):
        contents.check_picture(picture, f"images[{position}]")
    chosen = _generation(generation)
    order = _ORDERS[None if order_by is None else CaptionOrder(order_by)]
    scoring = vision_language_pb2.CaptionScoring(
        clip=bool(clip),
        clip_model=clip if isinstance(clip, str) else "",
        itm=bool(itm),
        itm_model=itm if isinstance(itm, str) else "",
    )
    messages = (
        contents.to_image(picture, f"images[{position}]")
        for position, picture in enumerate(pictures)
    )
    return (
        vision_language_pb2.CaptionRequest(
            model=model,
            images=batch,
            prompt=prompt,
            num_captions=num_captions,
            generation=chosen,
            scoring=scoring,
            order_by=order,
        )
        for batch in batches(messages, CAPTION_IMAGES)
    )


def answer(
    image: Picture,
    question: str,
    choices: Iterable[str],
    generation: Generation | None,
    model: str,
) -> vision_language_pb2.AnswerRequest:
    if isinstance(choices, str):
        raise TypeError("choices is a sequence, not one str")
    choices = list(choices)
    contents.check_text(question, "question")
    for position, choice in enumerate(choices):
        contents.check_text(choice, f"choices[{position}]")
    return vision_language_pb2.AnswerRequest(
        model=model,
        image=contents.to_image(image, "image"),
        question=question,
        choices=choices,
        generation=_generation(generation),
    )


def conversation(given: Talk) -> tuple[ChatMessage, ...]:
    """The messages of a conversation, checked; no file is read."""
    parts = [given] if isinstance(given, ChatMessage) else several(given, "messages")
    messages = tuple(part for part in parts if isinstance(part, ChatMessage))
    if not messages:
        messages = (ChatMessage.user(*parts),)
    elif len(messages) < len(parts):
        raise TypeError("messages: what stands beside a ChatMessage is a ChatMessage too")
    for position, message in enumerate(messages):
        if isinstance(message.contents, str):
            raise TypeError(f"messages[{position}].contents: a tuple of contents, not one str")
        for part, content in enumerate(message.contents):
            contents.check(content, f"messages[{position}].contents[{part}]")
    return messages


def chat(
    messages: Sequence[ChatMessage], generation: Generation | None, model: str
) -> vision_language_pb2.ChatRequest:
    return vision_language_pb2.ChatRequest(
        model=model,
        messages=[
            vision_language_pb2.ChatMessage(
                role=_ROLES[ChatRole(message.role)],
                contents=[
                    contents.to_message(content, f"messages[{position}].contents[{part}]")
                    for part, content in enumerate(message.contents)
                ],
            )
            for position, message in enumerate(messages)
        ],
        generation=_generation(generation),
    )


def _generation(given: Generation | None) -> vision_language_pb2.Generation | None:
    if given is None:
        return None
    if isinstance(given.stop, str):
        raise TypeError("generation.stop: a sequence of strings, not one str")
    message = vision_language_pb2.Generation(stop=given.stop)
    names = (field.name for field in fields(given) if field.name != "stop")
    fill(message, {name: getattr(given, name) for name in names}, "generation")
    return message
