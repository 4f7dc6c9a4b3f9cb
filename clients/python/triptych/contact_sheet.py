"""A page of pictures, those that queries found or that were talked about: one HTML file alone."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image, ImageOps

THUMBNAIL = 480  # pixels; larger pictures are reduced, so that a page of hundreds stays light
INLINE_BYTES = 48 * 1024  # files up to this size are used as they are
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")  # as the gateway takes them; browsers show all


@dataclass(frozen=True, slots=True)
class Turn:
    """A question about a picture and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture: a file's bytes (None when there is none), its score, and lines of text."""

    label: str
    picture: bytes | None = None
    score: float | None = None
    captions: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A query and its hits. `pictures` are those that the query itself holds, and `plot` is a
    picture as wide as it is, above the hits."""

    title: str
    tiles: tuple[Tile, ...]
    pictures: tuple[bytes, ...] = ()
    note: str = ""
    plot: bytes | None = None


def contact_sheet(title: str, sections: Sequence[Section]) -> str:
    """The page as HTML. All texts are escaped; pictures are inlined as data URIs."""
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            # Whatever the texts hold, the page runs nothing and loads nothing.
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n",
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
            f"<header><h1>{escape(title)}</h1></header>\n<main>\n",
            *(part for section in sections for part in _section(section)),
            "</main>\n</body>\n</html>\n",
        )
    )


def _section(section: Section) -> Iterator[str]:
    yield '<section>\n<div class="query">'
    for picture in section.pictures:
        yield _image(picture, "query picture")
    yield f'<h2 dir="auto">{escape(section.title)}</h2>'
    if section.note:
        yield f"<p>{escape(section.note)}</p>"
    yield "</div>\n"
    if section.plot is not None:
        yield f'<p class="plot">{_image(section.plot, section.title, reduced=False)}</p>\n'
    if section.tiles:
        yield '<div class="tiles">\n'
        yield from (_tile(tile) for tile in section.tiles)
        yield "</div>\n"
    else:
        yield '<p class="none">No hits.</p>\n'
    yield "</section>\n"


def _tile(tile: Tile) -> str:
    score = "" if tile.score is None else f'<data value="{tile.score:.6f}">{tile.score:.3f}</data>'
    captions = "".join(f'<p dir="auto">{escape(caption)}</p>' for caption in tile.captions)
    turns = "".join(
        f'<dt dir="auto">{escape(turn.question)}</dt><dd dir="auto">{escape(turn.answer)}</dd>'
        for turn in tile.turns
    )
    talk = f"<dl>{turns}</dl>" if turns else ""
    picture = _image(tile.picture, tile.label or "picture")
    label = escape(tile.label)
    return (
        f"<figure>{picture}<figcaption><div><strong>{label}</strong>{score}</div>{captions}{talk}"
        "</figcaption></figure>\n"
    )


def _image(picture: bytes | None, description: str, *, reduced: bool = True) -> str:
    source = None if picture is None else _data_uri(picture, reduced)
    if source is None:
        return '<span class="blank">no picture</span>'
    return f'<img src="{source}" alt="{escape(description)}" loading="lazy">'


def _data_uri(picture: bytes, reduced: bool) -> str | None:
    """The picture as a browser shows it, if so `reduced` where it is large; None when it cannot be
    read."""
    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as image:
            kind = image.format or ""
            if reduced and len(picture) > INLINE_BYTES:
                picture, kind = _thumbnail(image), "WEBP"
    except Exception:  # decoders raise anything on hostile bytes
        return None
    return f"data:image/{kind.lower()};base64,{base64.b64encode(picture).decode()}"


def _thumbnail(image: Image.Image) -> bytes:
    image.draft("RGB", (THUMBNAIL, THUMBNAIL))
    small = ImageOps.exif_transpose(image)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.convert("RGBA" if small.has_transparency_data else "RGB").save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


_STYLE = """
:root { color-scheme: light dark; --paper: #f6f5f2; --card: #fff; --ink: #1d1d1f; --quiet: #6b6b70;
  --line: #e3e1dc; --accent: #b4472e; }
@media (prefers-color-scheme: dark) { :root { --paper: #141416; --card: #1e1e21; --ink: #ececee;
  --quiet: #98989f; --line: #2e2e33; --accent: #f08a6c; } }
* { box-sizing: border-box; margin: 0; }
body { background: var(--paper); color: var(--ink); padding: 2.5rem clamp(1rem, 4vw, 4rem);
  font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", sans-serif; }
main, header { max-width: 88rem; margin: 0 auto; }
h1 { font-size: 1.5rem; font-weight: 650; letter-spacing: -.01em; }
section { padding: 1.75rem 0; border-top: 1px solid var(--line); }
header { padding-bottom: 1.5rem; }
.query { display: flex; flex-wrap: wrap; align-items: center; gap: .35rem .9rem;
  margin-bottom: 1rem; }
.query img { width: 3.5rem; height: 3.5rem; object-fit: cover; border-radius: .5rem;
  outline: 2px solid var(--accent); outline-offset: 2px; }
h2 { font-size: 1.1rem; font-weight: 600; overflow-wrap: anywhere; }
.query p, .none { color: var(--quiet); font-size: .85rem; }
.plot { margin-bottom: 1rem; }
.plot img { width: min(100%, 44rem); border: 1px solid var(--line); border-radius: .75rem; }
.tiles { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
figure { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  overflow: hidden; }
figure img, .blank { display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  background: color-mix(in srgb, var(--ink) 5%, transparent); }
.blank { display: grid; place-items: center; color: var(--quiet); font-size: .8rem; }
figcaption { padding: .55rem .7rem .65rem; font-size: .8rem; }
figcaption div { display: flex; justify-content: space-between; gap: .5rem; }
strong { font-weight: 550; overflow-wrap: anywhere; }
data { color: var(--accent); font-variant-numeric: tabular-nums; }
figcaption p, dt { color: var(--quiet); overflow-wrap: anywhere; }
dd { margin: .1rem 0 .45rem; font-size: .9rem; font-weight: 550; overflow-wrap: anywhere; }
"""
