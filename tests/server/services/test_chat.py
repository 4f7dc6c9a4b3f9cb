"""Chat through gRPC, on models whose texts mean nothing but depend on the picture."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from calls import Refusal, Stubs, encoded, text
from conversations import Contents, conversation
from language import CONTEXT, FUSED, IMAGE_TOKENS, LONG, LONG_CONTEXT, picture

from triptych.v1 import media_pb2
from triptych.v1.vision_language_pb2 import (
    FINISH_REASON_LENGTH,
    AnswerRequest,
    CaptionRequest,
    ChatEnd,
    ChatRequest,
    Generation,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
RED = media_pb2.Content(image=picture(255, 0, 0))
SHORT = Generation(max_tokens=12)


def chat(
    stubs: Stubs, *messages: Contents, generation: Generation = SHORT, **fields: Any
) -> tuple[list[str], ChatEnd]:
    """The deltas and the end of a reply."""
    request = ChatRequest(messages=conversation(*messages), generation=generation, **fields)
    *deltas, last = stubs.vision_language.Chat(request)
    assert last.HasField("end")
    assert all(each.HasField("delta") for each in deltas)
    return [each.delta.text for each in deltas], last.end


def refused(stubs: Stubs, *messages: Contents, **fields: Any) -> tuple[Any, str, list[str]]:
    request = ChatRequest(messages=conversation(*messages), **fields)
    with pytest.raises(grpc.RpcError) as caught:
        list(stubs.vision_language.Chat(request))
    refusal = Refusal(caught.value)
    return refusal.code, refusal.reason, refusal.fields


def test_deltas_add_up_to_the_answer(language: Stubs) -> None:
    deltas, end = chat(language, [RED, text("what colour?")])
    request = AnswerRequest(image=RED.image, question="what colour?", generation=SHORT)
    answer = language.vision_language.Answer(request)
    assert "".join(deltas) == answer.answer
    assert len(deltas) > 1
    assert all(deltas)
    assert end.log_probability == pytest.approx(answer.log_probability, abs=1e-3)
    assert end.finish_reason == FINISH_REASON_LENGTH
    assert (end.model, end.trimmed_messages) == (FUSED, 0)
    assert end.usage == answer.usage
    assert end.timing.total.ToNanoseconds() >= end.timing.first_token.ToNanoseconds() > 0


def test_conversation_is_told_in_the_models_form(language: Stubs) -> None:
    deltas, _ = chat(
        language, [text("what"), RED, text("is it?")], [text("a square.")], [text("what colour?")]
    )
    prompt = "Question: what is it? Answer: a square. Question: what colour? Answer:"
    request = CaptionRequest(images=[RED.image], prompt=prompt, generation=SHORT)
    [result] = language.vision_language.Caption(request).results
    [caption] = result.captions.captions
    assert "".join(deltas) == caption.text.removeprefix(prompt).strip()


def test_conversation_may_be_without_a_picture(language: Stubs) -> None:
    deltas, end = chat(language, [text("what colour?")])
    shown, with_picture = chat(language, [RED, text("what colour?")])
    assert deltas != shown
    assert with_picture.usage.prompt_tokens - end.usage.prompt_tokens == IMAGE_TOKENS


def test_picture_may_come_in_any_message_of_the_user(language: Stubs) -> None:
    early = chat(language, [RED, text("a?")], [text("b")], [text("c?")])
    late = chat(language, [text("a?")], [text("b")], [text("c?"), RED])
    assert early[0] == late[0]


def test_more_pictures_than_the_model_takes_are_refused(language: Stubs) -> None:
    messages = ([RED, text("a?")], [text("b")], [text("c?"), RED])
    expected = (INVALID, "TOO_MANY_IMAGES", ["messages[2].contents[1]"])
    assert refused(language, *messages) == expected


def test_corrupt_picture_is_named(language: Stubs) -> None:
    found = refused(language, [text("a?"), encoded(b"no picture")])
    assert found == (INVALID, "IMAGE_UNREADABLE", ["messages[0].contents[1].image.encoded"])


def long_conversation(turns: int) -> list[Contents]:
    """A picture, then turns of different lengths."""
    messages: list[Contents] = [[RED, text("what is it?")], [text("a square")]]
    for turn in range(turns):
        messages += [[text(f"and {turn} " + "again " * (turn % 4))], [text("yes")]]
    return [*messages, [text("what colour?")]]


def test_oldest_turns_are_left_out_and_the_picture_is_kept(language: Stubs) -> None:
    messages = long_conversation(60)
    deltas, end = chat(language, *messages)
    assert 0 < end.trimmed_messages < len(messages) - 1
    assert end.trimmed_messages % 2 == 0
    assert end.usage.prompt_tokens + 12 <= CONTEXT
    first, *kept = messages[end.trimmed_messages :]
    whole = chat(language, [RED, *first], *kept)
    assert whole[1].trimmed_messages == 0
    assert whole[0] == deltas
    [question], answer = messages[end.trimmed_messages - 2 : end.trimmed_messages]
    one_more = chat(language, [RED, question], answer, first, *kept)
    assert one_more[1].trimmed_messages == 2


def test_room_is_left_for_the_reply(language: Stubs) -> None:
    messages = long_conversation(60)
    _, default = chat(language, *messages, generation=Generation())
    _, wanted = chat(language, *messages, generation=Generation(max_tokens=200))
    assert default.usage.completion_tokens >= CONTEXT // 4
    assert wanted.usage.completion_tokens == 200
    assert wanted.trimmed_messages > default.trimmed_messages > 0


def test_last_message_is_never_left_out(language: Stubs) -> None:
    long = [text("word " * 1_000)]
    found = refused(language, [RED, text("a?")], [text("b")], long)
    assert found == (INVALID, "PROMPT_TOO_LONG", ["messages[2]"])


def test_messages_of_megabytes_are_refused_or_left_out(language: Stubs) -> None:
    huge = [text("word " * 200_000)] * 10
    assert refused(language, huge) == (INVALID, "PROMPT_TOO_LONG", ["messages[0]"])
    deltas, end = chat(language, [RED, *huge], [text("b")], [text("what colour?")])
    assert end.trimmed_messages == 2
    assert deltas == chat(language, [RED, text("what colour?")])[0]


def test_seeded_chats_say_the_same_alone_and_at_once(language: Stubs) -> None:
    def sampled(seed: int) -> list[str]:
        generation = Generation(temperature=1, seed=seed, max_tokens=40)
        return chat(language, [RED, text(f"number {seed}?")], generation=generation)[0]

    with ThreadPoolExecutor(16) as pool:
        at_once = list(pool.map(sampled, range(16)))
    assert ["".join(each) for each in at_once] == ["".join(sampled(seed)) for seed in range(16)]


def test_deadline_ends_a_reply_that_has_begun(language: Stubs) -> None:
    request = ChatRequest(
        model=LONG,
        messages=conversation([RED, text("tell me")]),
        generation=Generation(max_tokens=LONG_CONTEXT - 100),
    )
    responses = language.vision_language.Chat(request, timeout=2)
    assert next(responses).HasField("delta")
    with pytest.raises(grpc.RpcError) as caught:
        list(responses)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_malformed_request_is_the_callers_fault(language: Stubs) -> None:
    call = language.channel.unary_stream("/triptych.v1.VisionLanguageService/Chat")
    with pytest.raises(grpc.RpcError) as caught:
        list(call(b"\xff\xff\xff"))
    found = Refusal(caught.value)
    assert (found.code, found.reason) == (INVALID, "MALFORMED_REQUEST")
