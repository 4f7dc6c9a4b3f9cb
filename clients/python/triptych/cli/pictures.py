"""Picture files that commands are given, and those that hits point to."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer

from triptych import contents
from triptych.client import Client
from triptych.errors import NotFoundError
from triptych.types import StoredItem

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def has_picture_suffix(name: str) -> bool:
    """Whether a file of that name would be a picture."""
    return name.lower().endswith(SUFFIXES)


def open_picture(path: Path) -> bytes:
    """The bytes of a file named on the command line."""
    try:
        contents.check(path, str(path))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return path.read_bytes()


def walk(directory: Path) -> Iterator[Path]:
    """The picture files below `directory`, in the order of their paths."""
    for folder, subfolders, names in os.walk(directory):
        subfolders.sort()
        for name in sorted(filter(has_picture_suffix, names)):
            yield Path(folder, name)


def picture_of(client: Client, collection: str, item: StoredItem) -> bytes | None:
    """The stored picture of a hit, or the local file that its URI names; None without either."""
    if item.has_content:
        try:
            content = client.items.get(collection, item.id, include_content=True).content
        except NotFoundError:
            return None  # deleted since it was found
        return content if isinstance(content, bytes) else None
    address = urlsplit(item.uri)
    path = Path(url2pathname(address.path))
    if address.scheme != "file" or address.netloc not in ("", "localhost") or not path.is_file():
        return None
    return path.read_bytes() if path.stat().st_size <= contents.MAX_ENCODED_BYTES else None
