"""vision_language.proto: its messages to values, and values to its messages."""

from triptych.v1 import vision_language_pb2
from triptych_server.capabilities.captioning import Caption, Captions, Order
from triptych_server.capabilities.chat import ChatEnd
from triptych_server.capabilities.completions import Usage
from triptych_server.capabilities.generation import Generation
from triptych_server.capabilities.timing import Stopwatch
from triptych_server.engines.generators.protocol import Finish, Sampling
from triptych_server.errors import TriptychError
from triptych_server.services import media

FINISH_REASONS = {
    Finish.STOP: vision_language_pb2.FINISH_REASON_STOP,
    Finish.LENGTH: vision_language_pb2.FINISH_REASON_LENGTH,
}
ORDERS = {
    vision_language_pb2.CAPTION_ORDER_UNSPECIFIED: Order.SEARCH,
    vision_language_pb2.CAPTION_ORDER_LOG_PROBABILITY: Order.LIKELIHOOD,
    vision_language_pb2.CAPTION_ORDER_CLIP: Order.CLIP,
    vision_language_pb2.CAPTION_ORDER_ITM: Order.ITM,
}


def generation(
    message: vision_language_pb2.Generation, default_tokens: int, texts: int = 1
) -> Generation:
    """A valid message as a value, for so many texts of a prompt."""
    flexible = not message.HasField("max_tokens")
    sampling = Sampling(
        max_tokens=default_tokens if flexible else message.max_tokens,
        min_tokens=message.min_tokens,
        temperature=message.temperature,
        top_k=message.top_k,
        top_p=message.top_p if message.HasField("top_p") else 1.0,
        repetition_penalty=(
            message.repetition_penalty if message.HasField("repetition_penalty") else 1.0
        ),
        n=texts,
        stop=tuple(message.stop),
        seed=message.seed if message.HasField("seed") else None,
        beams=max(message.num_beams, 1),
        length_penalty=message.length_penalty if message.HasField("length_penalty") else 1.0,
    )
    return Generation(sampling, flexible)


def usage(value: Usage) -> vision_language_pb2.Usage:
    return vision_language_pb2.Usage(
        prompt_tokens=value.prompt_tokens, completion_tokens=value.completion_tokens
    )


def caption_result(outcome: Captions | TriptychError) -> vision_language_pb2.CaptionResult:
    if isinstance(outcome, TriptychError):
        return vision_language_pb2.CaptionResult(error=media.item_error(outcome))
    captions = [_caption(caption) for caption in outcome.captions]
    return vision_language_pb2.CaptionResult(
        captions=vision_language_pb2.Captions(captions=captions)
    )


def _caption(caption: Caption) -> vision_language_pb2.Caption:
    completion = caption.completion
    return vision_language_pb2.Caption(
        text=caption.text,
        log_probability=completion.log_probability,
        tokens=completion.tokens,
        finish_reason=FINISH_REASONS[completion.finish],
        clip_score=caption.clip_score,
        itm_score=caption.itm_score,
    )


def chat_end(end: ChatEnd, watch: Stopwatch) -> vision_language_pb2.ChatEnd:
    return vision_language_pb2.ChatEnd(
        finish_reason=FINISH_REASONS[end.finish],
        log_probability=end.log_probability,
        trimmed_messages=end.trimmed_messages,
        model=end.model,
        usage=usage(end.usage),
        timing=media.timing(watch, end.times),
    )
