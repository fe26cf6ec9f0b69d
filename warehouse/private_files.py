"""Private files and their locks, which end with the process that holds them, however it ends."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path


def open_private(path: Path) -> FileIO:
    """Open a file, made if it is missing: nobody else's to read, never through a link, owned like its folder.

    Programs that are started do not inherit it unless it is passed on to them.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    file = FileIO(os.open(path, flags, 0o600), "r+")
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    return file


def try_lock(file: FileIO, *, shared: bool) -> bool:
    """Try to lock a file, with others or alone; a lock that it had before is given up either way."""
    if sys.platform == "win32":
        # a range has one holder there: a shared lock is a byte at random, a lock for oneself is all bytes
        everything = 2**30
        with suppress(OSError):
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # our own byte: the position is still there
        file.seek(secrets.randbelow(everything) if shared else 0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1 if shared else everything)
        except OSError:
            return False
    else:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
