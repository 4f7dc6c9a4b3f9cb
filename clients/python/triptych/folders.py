"""Folders that change as a whole."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EXDEV)


def take_place_of(folder: Path, new: Path) -> None:
    """Rename `new` to `folder`, beside it; what was `folder` is `new` then.

    On Linux nobody ever finds `folder` missing. Elsewhere, and on file systems that cannot exchange
    two names, it is so for a moment.
    """
    if not folder.exists():
        new.rename(folder)
    elif not _exchange(folder, new):
        aside = folder.with_name(f".{folder.name}.old")
        folder.rename(aside)
        new.rename(folder)
        aside.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names; False where that is not to be had."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):  # it came with glibc 2.28
        return False
    names = (os.fsencode(one), os.fsencode(other))
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_HERE:
        return False
    raise OSError(code, os.strerror(code), os.fspath(one))
