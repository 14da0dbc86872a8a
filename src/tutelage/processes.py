"""What processes that another one of this package has started have in common."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

METHOD = "spawn"
"""How processes are started; CUDA works in no fork of a process that has used it."""


def share_of_processors(count: int) -> int:
    """The threads that each of so many processes of this machine may take: left to itself, each would take them all."""
    return max(1, (os.cpu_count() or 1) // count)


@contextlib.contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Has processes that are started in here not hear a terminal's Ctrl-C, from their first moment on.

    What they import takes seconds, in which it would end them with a traceback. This process hears it afterwards.
    """
    resource_tracker.ensure_running()  # by whoever comes first, and that one would unblock it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Has this process killed when the one that started it is gone, however that ended.

    Else it would go on alone, with the run's lock and its GPU.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - for the type checker
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
