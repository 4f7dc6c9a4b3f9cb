"""Messages written in parts are those that protobuf reads."""

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from triptych_server.engines.encoders.triton.messages import InferRequest, outputs
from triptych_server.errors import InvalidArgument

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(RANDOM.integers(0, 256, (3, 5), dtype=np.uint8), id="pictures"),
        pytest.param(RANDOM.integers(0, 9, (1, 1)), id="one-number"),
        pytest.param(RANDOM.random((2, 3, 4), np.float32), id="patches"),
        pytest.param(RANDOM.random((4, 6), np.float32)[:, ::2], id="every-other-column"),
        pytest.param(np.asfortranarray(RANDOM.random((4, 6))), id="column-major"),
        pytest.param(np.zeros((70_000, 2), np.float16), id="longer-than-three-bytes-tell"),
        pytest.param(np.array(True), id="no-axis"),
    ],
)
def test_protobuf_reads_the_tensors_as_they_were(array: np.ndarray) -> None:
    ids = np.arange(4).reshape(2, 2)
    request = InferRequest({"first": array, "ids": ids})
    for version in ("1", "2"):
        message = service_pb2.ModelInferRequest.FromString(request.encoded("image", version))
        assert (message.model_name, message.model_version) == ("image", version)
        first, second = message.inputs
        assert (first.name, second.name, second.datatype) == ("first", "ids", "INT64")
        assert tuple(first.shape) == array.shape
        assert [*message.raw_input_contents] == [array.tobytes(), ids.tobytes()]


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.zeros((0, 8)), "has no rows"),
        (np.zeros((1, 2), np.complex64), "complex64 is not a type"),
        (np.zeros((1, 2), ">i8"), ">i8 is not a type"),
        (np.array([b"a"]), "is not a type"),
        (np.array(["a"], object), "object is not a type"),
    ],
)
def test_what_triton_has_no_type_for_is_invalid(array: np.ndarray, cause: str) -> None:
    with pytest.raises(InvalidArgument, match=cause) as caught:
        InferRequest({"pixels": array})
    assert caught.value.field == "pixels"


def test_outputs_have_their_names_types_and_shapes() -> None:
    features, logits = RANDOM.random((2, 3), np.float32), RANDOM.random((2, 1))
    response = service_pb2.ModelInferResponse()
    for name, datatype, array in (("features", "FP32", features), ("logits", "FP64", logits)):
        response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        response.raw_output_contents.append(array.tobytes())
    read = outputs(response)
    assert read.keys() == {"features", "logits"}
    np.testing.assert_array_equal(read["features"], features, strict=True)
    np.testing.assert_array_equal(read["logits"], logits, strict=True)
