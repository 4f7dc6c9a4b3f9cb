"""Pictures with the captions that people wrote, from COCO's and from Karpathy's files."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.files import field, read_object, read_records

DEFAULT_SPLIT = "test"


@dataclass(frozen=True, slots=True)
class AnnotatedPicture:
    """A picture file, its id in the data set, and at least one caption."""

    id: int | str
    file: Path
    captions: tuple[str, ...]


def read_annotations(file: Path, images: Path, split: str = "") -> list[AnnotatedPicture]:
    """The captioned pictures of an annotation file, whose picture files lie in `images`.

    COCO's format has `images` (`id`, `file_name`) and `annotations` (`image_id`, `caption`).
    Karpathy's (arXiv 1412.2306) has `images` (`split`, `filename`, perhaps `filepath`, `sentences`
    of `raw`); of these only the pictures of `split` are taken, by default the test split. Pictures
    without a caption are left out. Raises `EvaluationError` for other files and splits.
    """
    document = read_object(file)
    if "annotations" in document:
        if split:
            raise EvaluationError(f"{file}: only files in Karpathy's format have splits")
        annotated = list(_coco(file, document, images))
    else:
        annotated = list(_karpathy(file, document, images, split or DEFAULT_SPLIT))
    if not annotated:
        raise EvaluationError(f"{file}: no picture has a caption")
    return annotated


def _coco(file: Path, document: dict[str, Any], images: Path) -> Iterator[AnnotatedPicture]:
    captions: dict[int | str, list[str]] = defaultdict(list)
    for image_id, caption in read_records(
        file,
        document,
        "annotations",
        lambda record: (_id(record, "image_id"), field(record, "caption", str)),
    ):
        captions[image_id].append(caption)
    for image_id, name in read_records(
        file,
        document,
        "images",
        lambda record: (_id(record, "id"), field(record, "file_name", str)),
    ):
        if image_id in captions:
            yield AnnotatedPicture(image_id, images / name, tuple(captions[image_id]))


def _karpathy(
    file: Path, document: dict[str, Any], images: Path, split: str
) -> Iterator[AnnotatedPicture]:
    records = list(read_records(file, document, "images", _karpathy_record))
    splits = sorted({record_split for record_split, *_ in records})
    if splits and split not in splits:
        raise EvaluationError(f"{file}: there is no split {split!r}, but {', '.join(splits)}")
    for record_split, image_id, folder, name, captions in records:
        if record_split == split and captions:
            nested = images / folder / name
            yield AnnotatedPicture(
                image_id, nested if nested.is_file() else images / name, captions
            )


def _karpathy_record(record: Any) -> tuple[str, int | str, str, str, tuple[str, ...]]:
    name = field(record, "filename", str)
    key = next((key for key in ("cocoid", "imgid") if key in record), "filename")
    folder = field(record, "filepath", str) if "filepath" in record else ""
    captions = tuple(field(each, "raw", str) for each in field(record, "sentences", list))
    return field(record, "split", str), _id(record, key), folder, name, captions


def _id(record: Any, key: str) -> int | str:
    value: object = field(record, key, object)
    if not isinstance(value, int | str):
        raise TypeError(f"{key!r} must be a number or a string, not {value!r}")
    return value
