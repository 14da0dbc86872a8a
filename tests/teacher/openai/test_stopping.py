"""A stop wakes those who wait, and only those; a cancellation from outside stays one."""

from __future__ import annotations

import asyncio

import pytest

from tutelage.errors import TeacherError
from tutelage.teacher.openai.stopping import Stop, StoppedError


async def _answered(value: int) -> int:
    return value


def test_who_waits_is_woken_and_who_comes_later_does_not_wait() -> None:
    async def cell() -> None:
        stop = Stop()
        assert await stop.unless_called(_answered, 3) == 3
        waiting = [asyncio.create_task(stop.unless_called(asyncio.sleep, 60)) for _ in range(3)]
        await asyncio.sleep(0)
        stop.call(TeacherError("first"))
        stop.call(TeacherError("second"))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [StoppedError] * 3
        assert [task.cancelling() for task in waiting] == [0] * 3
        assert str(stop.error) == "first"
        with pytest.raises(StoppedError):
            await stop.unless_called(_answered, 3)

    asyncio.run(cell())


def test_a_task_that_has_waited_is_left_alone() -> None:
    async def cell() -> None:
        stop, go_on = Stop(), asyncio.Event()

        async def work() -> str:
            await stop.unless_called(asyncio.sleep, 0)
            await go_on.wait()
            return "ended well"

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        stop.call(TeacherError("no"))
        go_on.set()
        assert await task == "ended well"

    asyncio.run(cell())


def test_a_cancellation_from_outside_stays_one() -> None:
    async def cell() -> None:
        task = asyncio.create_task(Stop().unless_called(asyncio.sleep, 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cell())
