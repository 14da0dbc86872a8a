"""What processes that another one of this package has started have in common."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

METHOD = "spawn"
"""How processes are started; CUDA works in no fork of a process that has used it."""


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
