"""The data directory: room, rights, who uses it, and the collections in it.

Nothing here takes a lock or writes, so that a gateway that runs, or starts now, is not disturbed.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from shlex import quote

from triptych_server.doctor.finding import Finding
from triptych_server.doctor.gateway import short
from triptych_server.doctor.machine import GIB, gib
from triptych_server.engines.collections import database
from triptych_server.engines.collections.collection import DATABASE
from triptych_server.engines.collections.protocol import Collection
from triptych_server.errors import TriptychError

AREA = "data"
_LOW = 5 * GIB  # free bytes below which to warn; merges write a second copy of an index
_FULL = GIB // 4
_LOCKS = Path("/proc/locks")


def examine_directory(data: Path, gateway_here: Callable[[], bool]) -> Iterator[Finding]:
    """Rights, room and user of the data directory, which need not exist yet.

    One process alone can use it: `gateway_here` tells whether that is the gateway of the settings,
    which need not be started then.
    """
    existing = next(path for path in (data, *data.absolute().parents) if path.exists())
    what = str(data)
    if not existing.is_dir():
        remedy = f"export TRIPTYCH_DATA=DIR  # {existing} is a file"
        yield Finding.problem(AREA, what, "is no directory", remedy)
        return
    yield room(existing, shutil.disk_usage(existing).free)
    user = holder(data / "collections" / ".lock")
    if user and gateway_here():
        yield Finding.ok(AREA, what, f"in use by the gateway, process {user}")
    elif user:
        detail = f"is used by process {user}, which is not the gateway of these settings"
        yield Finding.warning(AREA, what, detail, f"ps -fp {user}  # or export TRIPTYCH_DATA=DIR")
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield Finding.problem(AREA, what, "may not be written by this user", _as_owner(existing))
    else:
        yield Finding.ok(AREA, what, "not in use" if data.exists() else "will be made")


def room(directory: Path, free: int) -> Finding:
    """`free` bytes of the disk."""
    detail = f"{gib(free)} free on the disk of {directory}"
    remedy = f"du -xh {quote(str(directory))} | sort -h | tail  # or a larger disk"
    if free < _FULL:
        return Finding.problem(AREA, "disk", detail, remedy)
    if free < _LOW:
        return Finding.warning(AREA, "disk", detail, remedy)
    return Finding.ok(AREA, "disk", detail)


def holder(lock: Path) -> int | None:
    """The process that holds a lock file, as Linux lists them; None if none does or can be seen.

    Trying to take the lock would keep a gateway from starting in that moment.
    """
    if not lock.exists() or not _LOCKS.is_file():
        return None
    inode = lock.stat().st_ino
    for line in _LOCKS.read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return None


def read_collections(data: Path) -> Iterator[Collection | Finding]:
    """The collections as they were made, their items not counted, or what is wrong with one."""
    for path in sorted(data.glob(f"collections/[!.]*/{DATABASE}")):
        name = path.parent.name
        if not os.access(path, os.R_OK):
            yield Finding.warning(AREA, name, "may not be read by this user", _as_owner(path))
            continue
        try:
            yield _describe(path, name)
        except TriptychError as error:  # of a newer version
            remedy = "pip install --upgrade 'triptych[server]'"
            yield Finding.problem(AREA, name, error.message, remedy)
        except (sqlite3.Error, TypeError, ValueError) as error:
            remedy = f"sqlite3 {quote(str(path))} 'PRAGMA integrity_check'  # and bring its backup"
            yield Finding.problem(AREA, name, f"cannot be read: {error}", remedy)


def collections(found: Sequence[Collection], spaces: Mapping[str, str]) -> Iterator[Finding]:
    """Whether each collection's model is there and still of its space, as the gateway demands;
    `spaces` has that of each model that embeds, by name."""
    for each in found:
        space = f"{each.dimension} numbers, space {short(each.space)}"
        now = spaces.get(each.model)
        if now == each.space:
            yield Finding.ok(AREA, each.name, f"{space}, model {each.model}")
            continue
        state = f"is now of {short(now)}" if now else "is not served"
        alike = [name for name, other in spaces.items() if other == each.space]
        if alike:
            state += f"; {', '.join(alike)} has its space, under another name"
        yield Finding.problem(
            AREA,
            each.name,
            f"{space}: its model {each.model} {state}",
            f"triptych ingest DIR --collection {quote(each.name)}-2  # or export the checkpoint of "
            f"that space again, --name {quote(each.model)}",
        )


def _as_owner(path: Path) -> str:
    return (
        f"sudo -u '#{path.stat().st_uid}' triptych doctor  # who owns it, and may run the gateway"
    )


def _describe(path: Path, name: str) -> Collection:
    """The description never changes, so the file can be read as one that nobody writes: SQLite then
    takes no lock and leaves no file beside it."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return database.describe(connection, name)
