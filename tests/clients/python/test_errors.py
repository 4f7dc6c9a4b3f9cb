import pickle

import grpc
import pytest

from triptych import errors
from triptych.v1 import media_pb2


def test_an_item_error_becomes_the_error_of_its_code() -> None:
    message = media_pb2.ItemError(code=5, reason="ITEM_NOT_FOUND", message="no such item")
    message.retry_after.FromMilliseconds(1500)
    error = errors.from_item_error(message)
    assert type(error) is errors.NotFoundError
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND")
    assert (error.fields, error.retry_after) == ((), 1.5)


@pytest.mark.parametrize("code", [0, 13, 99])
def test_codes_without_a_class_of_their_own_keep_the_base(code: int) -> None:
    assert type(errors.from_item_error(media_pb2.ItemError(code=code))) is errors.TriptychError


def test_an_error_moves_into_the_field_that_held_its_input() -> None:
    error = errors.from_item_error(
        media_pb2.ItemError(code=3, reason="R", field="image.encoded", message="broken")
    )
    assert str(error.within("contents[3]")) == (
        "INVALID_ARGUMENT: contents[3].image.encoded: broken"
    )
    whole = errors.from_item_error(media_pb2.ItemError(code=3, message="broken"))
    assert whole.within("contents[3]").field == "contents[3]"


def test_errors_travel_between_processes() -> None:
    fields = (errors.FieldViolation("a", "b"),)
    error = errors.UnavailableError(grpc.StatusCode.UNAVAILABLE, "gone", "ENGINE", fields, 0.5)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is errors.UnavailableError
    assert vars(back) == vars(error)
