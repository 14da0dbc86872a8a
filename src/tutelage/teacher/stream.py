"""A plain iterator over what a coroutine delivers from an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


_LUMP_SECONDS = 0.02
"""How long an item may wait for others. To wake the caller's thread for each alone costs more than most items."""


@dataclass(frozen=True, slots=True)
class _Delivered(Generic[Item]):
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None


def stream(work: Callable[[Callable[[Item], None]], Coroutine[None, None, None]]) -> Generator[Item, None, None]:
    """Yields what `work(deliver)` delivers, soon after it comes, and raises what it raises after the last item.

    The loop runs in a thread, so that it makes headway while the caller is busy, and the caller may have
    an event loop of its own. Closing the generator, as Ctrl-C does, cancels the work and waits for its end.
    """
    arrivals: queue.SimpleQueue[_Delivered[Item] | _Ended] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    lump: list[Item] = []

    def deliver(item: Item) -> None:
        if not lump:
            loop.call_later(_LUMP_SECONDS, flush)
        lump.append(item)

    def flush() -> None:
        arrivals.put(_Delivered(tuple(lump)))
        lump.clear()

    task = loop.create_task(work(deliver))

    def run() -> None:
        error: BaseException | None = None
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass  # the caller closed the generator and reads no more
        except BaseException as raised:
            error = raised
        finally:
            with contextlib.suppress(Exception):
                loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            flush()
            arrivals.put(_Ended(error))

    thread = threading.Thread(target=run, name="teacher", daemon=True)
    thread.start()
    try:
        while isinstance(arrival := arrivals.get(), _Delivered):
            yield from arrival.items
        if arrival.error is not None:
            raise arrival.error
    finally:
        with contextlib.suppress(RuntimeError):  # the loop has ended and is closed
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
