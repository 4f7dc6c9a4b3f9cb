"""The pools of a directory."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from triptych_server.engines.seed_pools.pool import (
    CAPTIONS,
    DESCRIPTION,
    VECTORS,
    PoolError,
    SeedPool,
    read_pool,
)
from triptych_server.errors import FailedPrecondition, NotFound

_NAMES = 20  # of pools that a message lists
_ATTEMPTS = 3  # to read a pool that is being exchanged

# Of each file: device, inode, size and time of the last change.
Stamp = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A pool as its files were, or what was wrong with them."""

    stamp: Stamp
    pool: SeedPool | None
    fault: str = ""


class SeedPools:
    """Opens the pools in a directory as they are asked for, and again when their files have
    changed. Without a directory there are none."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._read: dict[str, _Read] = {}
        self._reading = asyncio.Lock()

    async def names(self) -> list[str]:
        """Of all pools, sound or not, in order."""
        return await asyncio.to_thread(self._names)

    async def open(self, name: str) -> SeedPool:
        """A pool by name. Raises `NotFound`, and `FailedPrecondition` for one that is damaged, both
        about `seeds.pool`."""
        names = await self.names()
        if self._directory is None or name not in names:  # so that no path is made of other names
            raise _not_found(name, names)
        folder = self._directory / name
        stamp = await asyncio.to_thread(_stamp, folder)
        if not self._is_read(name, stamp):
            async with self._reading:
                if not self._is_read(name, stamp):  # while this call waited
                    self._read = {each: self._read[each] for each in names if each in self._read}
                    self._read[name] = await asyncio.to_thread(_read, folder)
        read = self._read[name]
        if read.pool is None:
            raise FailedPrecondition(
                f"the seed pool {name!r} is damaged: {read.fault}",
                reason="SEED_POOL_UNREADABLE",
                field="seeds.pool",
            )
        return read.pool

    def _is_read(self, name: str, stamp: Stamp) -> bool:
        return name in self._read and self._read[name].stamp == stamp

    def _names(self) -> list[str]:
        """A name that begins with a dot is of a pool that is being made."""
        if self._directory is None:
            return []
        try:
            folders = list(self._directory.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(
            folder.name
            for folder in folders
            if folder.name.isprintable() and not folder.name.startswith(".")
            if (folder / DESCRIPTION).exists()
        )


def _not_found(name: str, names: list[str]) -> NotFound:
    known = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
    return NotFound(
        f"there is no seed pool {name[:100]!r}; the server's are: {known}"
        if names
        else "the server has no seed pools",
        reason="SEED_POOL_NOT_FOUND",
        field="seeds.pool",
    )


def _read(folder: Path) -> _Read:
    """Read a pool as it was at one moment."""
    for _ in range(_ATTEMPTS):
        stamp = _stamp(folder)
        pool, fault = None, ""
        try:
            pool = read_pool(folder)
        except PoolError as error:
            fault = str(error)
        if _stamp(folder) == stamp:
            return _Read(stamp, pool, fault)
    return _Read((), None, "its files change while they are read")


def _stamp(folder: Path) -> Stamp:
    return tuple(_stamp_of(folder / file) for file in (DESCRIPTION, CAPTIONS, VECTORS))


def _stamp_of(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
