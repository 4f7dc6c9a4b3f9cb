from triptych_export.config import Batching, Tensor
from triptych_export.profiles import Profile, profiles, whole, written

PIXELS = [Tensor("pixels", "uint8", (-1, 224, 224, 3))]
TEXTS = [Tensor(name, "int64", (-1, -1)) for name in ("input_ids", "attention_mask")]
ROWS = {0: "batch"}
TEXT = {0: "batch", 1: "sequence"}
AXES = {"pixels": ROWS, "input_ids": TEXT, "attention_mask": TEXT}


def test_pictures_have_one_profile_of_one_row_to_the_greatest_batch() -> None:
    assert profiles(PIXELS, AXES, Batching(64, (4, 8)), ()) == (
        Profile(
            least={"pixels": (1, 224, 224, 3)},
            preferred={"pixels": (8, 224, 224, 3)},
            greatest={"pixels": (64, 224, 224, 3)},
        ),
    )


def test_each_length_of_texts_has_a_profile_and_together_they_leave_no_gap() -> None:
    found = profiles(TEXTS, AXES, Batching(32, (4,)), (8, 16, 77))
    for name in ("input_ids", "attention_mask"):
        assert [profile.least[name] for profile in found] == [(1, 1), (1, 9), (1, 17)]
        assert [profile.preferred[name] for profile in found] == [(4, 8), (4, 16), (4, 77)]
        assert [profile.greatest[name] for profile in found] == [(32, 8), (32, 16), (32, 77)]


def test_a_batch_that_is_never_formed_is_not_preferred() -> None:
    (found,) = profiles(PIXELS, AXES, Batching(2, (4, 8)), ())
    assert found.preferred["pixels"][0] == found.greatest["pixels"][0] == 2


def test_texts_are_compared_with_one_picture_as_a_rule() -> None:
    inputs = [
        Tensor("patches", "float32", (-1, 257, 1408)),
        Tensor("input_ids", "int64", (-1, -1)),
        Tensor("image_index", "int64", (-1,)),
    ]
    axes = {
        "patches": {0: "pictures"},
        "input_ids": {0: "texts", 1: "sequence"},
        "image_index": {0: "texts"},
    }
    (found,) = profiles(inputs, axes, Batching(64, (8,)), (32,))
    assert found.preferred == {
        "patches": (1, 257, 1408),
        "input_ids": (8, 32),
        "image_index": (8,),
    }
    assert found.greatest["patches"] == (64, 257, 1408)


def test_one_range_takes_all_that_several_profiles_do() -> None:
    one = whole(profiles(TEXTS, AXES, Batching(64, (8,)), (8, 16, 77)))
    assert written(one.least) == "input_ids:1x1,attention_mask:1x1"
    assert written(one.preferred) == "input_ids:8x16,attention_mask:8x16"
    assert written(one.greatest) == "input_ids:64x77,attention_mask:64x77"
