import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from triptych.contact_sheet import THUMBNAIL, Section, Tile, Turn, contact_sheet


class Page(HTMLParser):
    """The tags, the pictures and the words of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def images(self) -> list[Image.Image]:
        return [
            Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
            for source in self.sources
        ]


def picture(width: int, height: int, file_format: str = "PNG", mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, file_format)
    return buffer.getvalue()


def one(tile: Tile) -> Page:
    return Page(contact_sheet("title", [Section("query", (tile,))]))


def test_a_small_picture_is_inlined_as_it_is() -> None:
    small = picture(20, 10)
    source = one(Tile("a", small)).sources[0]
    assert source == f"data:image/png;base64,{base64.b64encode(small).decode()}"


@pytest.mark.parametrize(
    ("file_format", "mode"), [("PNG", "RGBA"), ("JPEG", "CMYK"), ("JPEG", "RGB"), ("BMP", "RGB")]
)
def test_a_large_picture_is_reduced(file_format: str, mode: str) -> None:
    (image,) = one(Tile("a", picture(900, 600, file_format, mode))).images
    assert image.format == "WEBP"
    assert image.size == (THUMBNAIL, THUMBNAIL * 600 // 900)


def test_a_reduced_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(900, 600))).save(buffer, "JPEG", exif=exif)
    (image,) = one(Tile("a", buffer.getvalue())).images
    assert image.height > image.width


@pytest.mark.parametrize(
    "data", [None, b"", b"no picture", picture(200, 200)[:50_000], picture(9, 9, "TIFF")]
)
def test_what_is_no_picture_leaves_a_blank_tile(data: bytes | None) -> None:
    page = one(Tile("a", data))
    assert "no picture" in page.words
    assert "a" in page.words


def test_query_pictures_scores_and_captions_are_shown() -> None:
    section = Section("query", (Tile("id", picture(8, 8), 0.5, ("one", "two")),), (picture(9, 9),))
    page = Page(contact_sheet("title", [section, Section("nothing", (), note="0 hits")]))
    assert [image.size for image in page.images] == [(9, 9), (8, 8)]
    assert {"title", "query", "id", "0.500", "one", "two", "nothing", "0 hits"} <= set(page.words)
    assert "No hits." in page.words


def test_questions_stand_with_their_answers() -> None:
    turns = (Turn("what is it?", "a star"), Turn("what colour is it?", "red"))
    page = one(Tile("", picture(8, 8), turns=turns))
    assert [tag for tag in page.tags if tag in ("dt", "dd")] == ["dt", "dd", "dt", "dd"]
    assert [word for word in page.words if word.strip()][-4:] == [
        "what is it?",
        "a star",
        "what colour is it?",
        "red",
    ]


def test_a_plot_is_shown_as_large_as_it_is() -> None:
    plot = picture(THUMBNAIL * 2, THUMBNAIL)
    [image, _] = Page(
        contact_sheet("t", [Section("q", (Tile("", picture(8, 8)),), plot=plot)])
    ).images
    assert image.size == (THUMBNAIL * 2, THUMBNAIL)


hostile = st.text() | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'--><svg onload=x>", "&lt;"]
)


@given(hostile, hostile, hostile)
def test_no_text_becomes_markup(label: str, title: str, caption: str) -> None:
    quiet = Tile("l", picture(4, 4), 0.1, ("c",), (Turn("q", "a"),))
    plain = contact_sheet("t", [Section("q", (quiet,), note="n")])
    tile = Tile(label, picture(4, 4), 0.1, (caption,), (Turn(label, caption),))
    html = contact_sheet(title, [Section(title, (tile,), note=caption or "n")])
    assert Page(html).tags == Page(plain).tags
    assert Page(html).attributes == Page(plain).attributes
