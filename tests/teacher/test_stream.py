"""An iterator over what an event loop in a thread delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tutelage.teacher.stream import stream


def test_items_come_in_order_then_the_error() -> None:
    async def work(deliver: Callable[[int], None]) -> None:
        for item in range(3):
            await asyncio.sleep(0)
            deliver(item)
        raise ValueError("at the end")

    arrivals = stream(work)
    assert [next(arrivals), next(arrivals), next(arrivals)] == [0, 1, 2]
    with pytest.raises(ValueError, match="at the end"):
        next(arrivals)


def test_closing_cancels_and_lets_the_work_clean_up() -> None:
    ended = []

    async def work(deliver: Callable[[int], None]) -> None:
        try:
            deliver(1)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    arrivals = stream(work)
    assert next(arrivals) == 1
    arrivals.close()
    assert ended == [True]


def test_nothing_to_do_ends_at_once() -> None:
    async def work(deliver: Callable[[int], None]) -> None:
        pass

    assert list(stream(work)) == []
