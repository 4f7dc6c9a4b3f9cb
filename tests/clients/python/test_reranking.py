"""Reranked searches, and models that match and write, as messages and back."""

from triptych import Rerank, Search, requests, responses
from triptych.v1 import model_pb2, search_pb2


def test_a_rerank_is_sent_with_its_kind() -> None:
    message = requests.search(Search("c", "a cat", rerank=Rerank(50, "matcher"))).rerank
    assert (message.kind, message.candidates) == (search_pb2.Rerank.KIND_ITM, 50)
    assert message.model == "matcher"
    assert not requests.search(Search("c", "a cat")).HasField("rerank")


def test_only_reranked_hits_have_a_second_score() -> None:
    message = search_pb2.SearchResponse(
        hits=[search_pb2.Hit(score=0.5, itm_score=0), search_pb2.Hit(score=0.25)]
    )
    assert [hit.itm_score for hit in responses.hits(message)] == [0, None]


def test_a_model_is_ready_when_all_its_parts_are() -> None:
    message = model_pb2.Model(
        name="m",
        encoders=[model_pb2.Encoder(role=model_pb2.ROLE_IMAGE_PREFIX, state=model_pb2.STATE_READY)],
        generator=model_pb2.Generator(
            family="opt", context_length=128, max_images=1, choices=True, state_reason="no file"
        ),
    )
    model = responses.model(message)
    assert model.encoders[0].role == "image_prefix"
    assert model.generator is not None
    assert (model.generator.family, model.generator.context_length) == ("opt", 128)
    assert (model.generator.choices, model.generator.beam_search) == (True, False)
    assert (model.ready, model.generator.state_reason) == (False, "no file")
    message.generator.state = model_pb2.STATE_READY
    assert responses.model(message).ready
    message.ClearField("generator")
    assert responses.model(message).generator is None


def test_a_role_that_is_newer_than_the_client_is_a_number() -> None:
    message = model_pb2.Model(encoders=[model_pb2.Encoder(role=99)])  # type: ignore[arg-type]
    assert responses.model(message).encoders[0].role == "99"
