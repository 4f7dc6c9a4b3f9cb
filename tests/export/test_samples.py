from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych_export.errors import ExportError
from triptych_export.samples import adversarial_pixels, draw_pictures, read_pictures


def test_drawn_pictures_are_the_same_every_time_and_all_different() -> None:
    first, second = draw_pictures(12), draw_pictures(12)
    assert [a.tobytes() for a in first] == [b.tobytes() for b in second]
    assert len({picture.tobytes() for picture in first}) == 12
    assert len({picture.size for picture in first}) > 3


def test_pictures_of_a_directory_are_read_in_order_and_other_files_passed_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "sub").mkdir()
    Image.new("L", (4, 4), 200).save(tmp_path / "b.png")
    Image.new("RGB", (8, 4), "red").save(tmp_path / "sub" / "c.png")
    Image.new("RGB", (6, 4), "blue").save(tmp_path / "a.webp")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "b.png").read_bytes()[:50])
    pictures = read_pictures(tmp_path, 1, 8)
    assert [picture.size for picture in pictures] == [(6, 4), (4, 4), (8, 4)]
    assert {picture.mode for picture in pictures} == {"RGB"}
    assert len(read_pictures(tmp_path, 1, 2)) == 2


def test_a_directory_with_too_few_pictures_is_an_error(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 200).save(tmp_path / "b.png")
    with pytest.raises(ExportError, match="1 pictures in it, at least 2 needed"):
        read_pictures(tmp_path, 2, 8)


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="absent: no such directory"):
        read_pictures(tmp_path / "absent", 1, 8)


def test_adversarial_pixels_are_extreme() -> None:
    pixels = adversarial_pixels(7, 32, 48)
    assert pixels.shape == (7, 32, 48, 3)
    assert set(np.unique(pixels)) == {0, 255}
