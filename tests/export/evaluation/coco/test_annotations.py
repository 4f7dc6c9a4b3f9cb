"""Reading COCO's and Karpathy's annotation files."""

import json
from pathlib import Path
from typing import Any

import pytest

from triptych_export.evaluation.coco.annotations import AnnotatedPicture, read_annotations
from triptych_export.evaluation.errors import EvaluationError

COCO: dict[str, Any] = {
    "images": [
        {"id": 9, "file_name": "nine.jpg"},
        {"id": 4, "file_name": "four.jpg"},
        {"id": 5, "file_name": "nobody_wrote_about_it.jpg"},
    ],
    "annotations": [
        {"image_id": 4, "id": 1, "caption": "A cat."},
        {"image_id": 9, "id": 2, "caption": "A dog."},
        {"image_id": 4, "id": 3, "caption": "Some cat"},
    ],
}
KARPATHY: dict[str, Any] = {
    "images": [
        {
            "split": "test",
            "filename": "one.jpg",
            "filepath": "val2014",
            "cocoid": 1,
            "sentences": [{"raw": "A cat."}, {"raw": "Some cat"}],
        },
        {"split": "val", "filename": "two.jpg", "imgid": 2, "sentences": [{"raw": "A dog."}]},
    ]
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "captions.json"


def test_coco_captions_are_grouped_by_picture(file: Path) -> None:
    file.write_text(json.dumps(COCO))
    assert read_annotations(file, Path("pictures")) == [
        AnnotatedPicture(9, Path("pictures/nine.jpg"), ("A dog.",)),
        AnnotatedPicture(4, Path("pictures/four.jpg"), ("A cat.", "Some cat")),
    ]


def test_karpathy_test_split_is_the_default(file: Path) -> None:
    file.write_text(json.dumps(KARPATHY))
    one = AnnotatedPicture(1, Path("pictures/one.jpg"), ("A cat.", "Some cat"))
    two = AnnotatedPicture(2, Path("pictures/two.jpg"), ("A dog.",))
    assert read_annotations(file, Path("pictures")) == [one]
    assert read_annotations(file, Path("pictures"), "val") == [two]


def test_karpathy_folders_are_used_where_they_are(file: Path) -> None:
    file.write_text(json.dumps(KARPATHY))
    nested = file.parent / "val2014" / "one.jpg"
    nested.parent.mkdir()
    nested.touch()
    assert read_annotations(file, file.parent)[0].file == nested


def test_unknown_split_tells_those_there_are(file: Path) -> None:
    file.write_text(json.dumps(KARPATHY))
    with pytest.raises(EvaluationError, match="no split 'train', but test, val"):
        read_annotations(file, file.parent, "train")


def test_coco_files_have_no_splits(file: Path) -> None:
    file.write_text(json.dumps(COCO))
    with pytest.raises(EvaluationError, match="Karpathy"):
        read_annotations(file, file.parent, "val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "object is expected"),
        ("{", "not a JSON file"),
        ("{}", "no list 'images'"),
        ('{"annotations": [], "images": []}', "no picture has a caption"),
        ('{"annotations": [{"image_id": 1}]}', r"annotations\[0\]: no 'caption'"),
        ('{"annotations": [], "images": [7]}', r"images\[0\]: a JSON object is expected, not 7"),
        ('{"annotations": [{"image_id": [], "caption": ""}]}', "'image_id' must be a number or"),
        (
            '{"annotations": [{"image_id": 1, "caption": null}]}',
            r"annotations\[0\]: 'caption' must be of type str, not None",
        ),
        ('{"images": []}', "no picture has a caption"),
        ('{"images": [{"filename": "a", "split": "test"}]}', r"images\[0\]: no 'sentences'"),
    ],
)
def test_other_files_are_refused_with_the_place_of_the_fault(
    file: Path, content: str, message: str
) -> None:
    file.write_text(content)
    with pytest.raises(EvaluationError, match=message):
        read_annotations(file, file.parent)
