"""VisionLanguageService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from triptych.v1 import vision_language_pb2, vision_language_pb2_grpc
from triptych_server.capabilities.answering import Answerer
from triptych_server.capabilities.captioning import Captioner, CaptionQuery, Captions, Order
from triptych_server.capabilities.chat import Chat
from triptych_server.capabilities.completions import Usage
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.services import media, vision_language_messages
from triptych_server.services.rules import check
from triptych_server.services.vision_language_rules import (
    ANSWER,
    ANSWER_TOKENS,
    CAPTION,
    CAPTION_TOKENS,
    CHAT,
    CHAT_TOKENS,
)


class VisionLanguageService(vision_language_pb2_grpc.VisionLanguageServiceServicer):
    """Caption, Answer and Chat over the capabilities of these names."""

    def __init__(self, captioner: Captioner, answerer: Answerer, chat: Chat) -> None:
        self._captioner = captioner
        self._answerer = answerer
        self._chat = chat

    async def Caption(
        self, request: vision_language_pb2.CaptionRequest, context: Any
    ) -> vision_language_pb2.CaptionResponse:
        watch = Stopwatch()
        check(CAPTION, request)
        captioned = await self._captioner.caption(_caption_query(request))
        written = [each for each in captioned.outcomes if isinstance(each, Captions)]
        return vision_language_pb2.CaptionResponse(
            results=[vision_language_messages.caption_result(each) for each in captioned.outcomes],
            model=captioned.model,
            usage=vision_language_messages.usage(Usage.sum(each.usage for each in written)),
            timing=media.timing(watch, StageTimes.longest(each.times for each in written)),
        )

    async def Answer(
        self, request: vision_language_pb2.AnswerRequest, context: Any
    ) -> vision_language_pb2.AnswerResponse:
        watch = Stopwatch()
        check(ANSWER, request)
        if request.choices:
            return await self._choose(request, watch)
        answer = await self._answerer.answer(
            request.model,
            media.image(request.image),
            request.question,
            vision_language_messages.generation(request.generation, ANSWER_TOKENS),
        )
        return vision_language_pb2.AnswerResponse(
            answer=answer.text,
            log_probability=answer.completion.log_probability,
            finish_reason=vision_language_messages.FINISH_REASONS[answer.completion.finish],
            model=answer.model,
            usage=vision_language_messages.usage(answer.usage),
            timing=media.timing(watch, answer.times),
        )

    async def _choose(
        self, request: vision_language_pb2.AnswerRequest, watch: Stopwatch
    ) -> vision_language_pb2.AnswerResponse:
        choice = await self._answerer.choose(
            request.model, media.image(request.image), request.question, request.choices
        )
        scores = zip(request.choices, choice.log_probabilities, choice.probabilities, strict=True)
        return vision_language_pb2.AnswerResponse(
            answer=request.choices[choice.best],
            log_probability=choice.log_probabilities[choice.best],
            choices=[
                vision_language_pb2.ChoiceScore(
                    choice=text, log_probability=log_probability, probability=probability
                )
                for text, log_probability, probability in scores
            ],
            model=choice.model,
            usage=vision_language_messages.usage(choice.usage),
            timing=media.timing(watch, choice.times),
        )

    async def Chat(
        self, request: vision_language_pb2.ChatRequest, context: Any
    ) -> AsyncIterator[vision_language_pb2.ChatResponse]:
        watch = Stopwatch()
        check(CHAT, request)
        conversation = [
            [media.content(content) for content in message.contents] for message in request.messages
        ]
        generation = vision_language_messages.generation(request.generation, CHAT_TOKENS)
        async with aclosing(self._chat.reply(request.model, conversation, generation)) as events:
            async for event in events:
                if isinstance(event, str):
                    delta = vision_language_pb2.ChatDelta(text=event)
                    yield vision_language_pb2.ChatResponse(delta=delta)
                else:
                    end = vision_language_messages.chat_end(event, watch)
                    yield vision_language_pb2.ChatResponse(end=end)


def _caption_query(request: vision_language_pb2.CaptionRequest) -> CaptionQuery:
    order = vision_language_messages.ORDERS[request.order_by]
    scoring = request.scoring
    return CaptionQuery(
        model=request.model,
        images=[media.image_or_error(image) for image in request.images],
        # A space belongs to the word after it: alone at the end it would be a token of its own.
        prompt=request.prompt.rstrip(),
        generation=vision_language_messages.generation(
            request.generation, CAPTION_TOKENS, texts=request.num_captions or 1
        ),
        order=order,
        clip_model=scoring.clip_model if scoring.clip or order is Order.CLIP else None,
        itm_model=scoring.itm_model if scoring.itm or order is Order.ITM else None,
    )
