"""Locks, such as a run folder's: the kernel releases one when its process ends, however it ends, and not before."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

LOCK = ".lock"
_GLANCE = 0.1
"""Seconds; whoever only looks whether a lock is held holds it for far less."""


def take(file: IO[str]) -> bool:
    """Whether the lock of an open file is this process's now; not if another has it."""
    if _taken(file, fcntl.LOCK_EX):
        return True
    time.sleep(_GLANCE)
    return _taken(file, fcntl.LOCK_EX)


def wait_for(file: IO[str]) -> None:
    """Takes the lock of an open file as soon as no other process has it."""
    fcntl.flock(file, fcntl.LOCK_EX)


def is_held(folder: Path) -> bool:
    """Whether a process works on a run folder, on this machine or on another that locks the same disk."""
    try:
        with (folder / LOCK).open() as file:
            return not _taken(file, fcntl.LOCK_SH)
    except OSError:  # there is none, or the disk knows no locks
        return False


def _taken(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
