"""Ends a conversation early: nothing leaves any more, and what is in flight goes on to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from tutelage.errors import TeacherError

Given = TypeVar("Given")
Result = TypeVar("Result")


class StoppedError(Exception):
    """This call does not leave any more, for the reason that its `Stop` holds."""


class Stop:
    """Why no further call leaves, once that is so; for the coroutines of one event loop."""

    def __init__(self) -> None:
        self.error: TeacherError | None = None
        self._waiting: set[asyncio.Task[object]] = set()

    @property
    def called(self) -> bool:
        return self.error is not None

    def call(self, error: TeacherError) -> None:
        """Wakes all who wait in `unless_called`. The first error is the one that counts."""
        if self.error is None:
            self.error = error
            for task in self._waiting:
                task.cancel()

    async def unless_called(self, wait: Callable[[Given], Awaitable[Result]], given: Given) -> Result:
        """What `wait(given)` comes to. Raises: StoppedError if the stop was called before, or is meanwhile."""
        if self.called:
            raise StoppedError
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._waiting.add(task)
        try:
            return await wait(given)
        except asyncio.CancelledError:
            if self.error is None:
                raise
            task.uncancel()
            raise StoppedError from None
        finally:
            self._waiting.discard(task)
