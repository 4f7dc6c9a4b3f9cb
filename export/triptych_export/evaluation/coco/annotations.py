"""Pictures with the captions that people wrote, from COCO's and from Karpathy's files."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych_export.evaluation.errors import EvaluationError
from triptych_export.evaluation.files import read_object, read_records

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
        file, document, "annotations", lambda record: (_id(record["image_id"]), record["caption"])
    ):
        captions[image_id].append(str(caption))
    for image_id, name in read_records(
        file, document, "images", lambda record: (_id(record["id"]), str(record["file_name"]))
    ):
        if image_id in captions:
            yield AnnotatedPicture(image_id, images / name, tuple(captions[image_id]))


def _karpathy(
    file: Path, document: dict[str, Any], images: Path, split: str
) -> Iterator[AnnotatedPicture]:
    records = list(read_records(file, document, "images", _karpathy_record))
    splits = sorted({record_split for record_split, *_ in records})
    if split not in splits:
        raise EvaluationError(f"{file}: there is no split {split!r}, but {', '.join(splits)}")
    for record_split, image_id, folder, name, captions in records:
        if record_split == split and captions:
            nested = images / folder / name
            yield AnnotatedPicture(
                image_id, nested if nested.is_file() else images / name, captions
            )


def _karpathy_record(record: Any) -> tuple[str, int | str, str, str, tuple[str, ...]]:
    name = str(record["filename"])
    image_id = _id(record.get("cocoid", record.get("imgid", name)))
    captions = tuple(str(sentence["raw"]) for sentence in record["sentences"])
    return str(record["split"]), image_id, str(record.get("filepath", "")), name, captions


def _id(value: Any) -> int | str:
    if not isinstance(value, int | str):
        raise TypeError(f"an id is a number or a string, not {value}")
    return value
