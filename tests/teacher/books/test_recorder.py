"""The books of a paid teacher: whatever ends the work, what came of it is written."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tests.teacher.asking import ScriptedTeacher, numbered, request
from tutelage.config import BudgetSettings
from tutelage.teacher.books.budget import Budget, Spent
from tutelage.teacher.books.cache import Cache
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.recorder import LedgerRecorder
from tutelage.teacher.protocol import Call, Outcome, Sample

CAME = Outcome({0: Sample("text", "paid for")})


class Slow(Ledger):
    """Its commits wait for `go`."""

    go = threading.Event()

    def commit(self) -> None:
        assert self.go.wait(10)
        super().commit()


def make_recorder(ledger: Ledger, cache: Cache | None = None) -> LedgerRecorder:
    budget = Budget(BudgetSettings(), Spent(), None)
    return LedgerRecorder(ledger, ScriptedTeacher(), budget, None, cache)


def test_what_came_is_written_though_all_is_cancelled_and_its_end_too(tmp_path: Path) -> None:
    async def work(ledger: Slow) -> None:
        async with make_recorder(ledger) as recorder:
            ledger.go.set()
            numbers = [await recorder.begin(Call(request(numbered(place)), (0,), 9, 9)) for place in range(4)]
            ledger.go.clear()
            ends = []
            for number in numbers:  # the first is being written, the others wait for it
                ends.append(asyncio.create_task(recorder.end(number, CAME)))
                await asyncio.sleep(0.01)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def stopped(ledger: Slow) -> None:
        task = asyncio.create_task(work(ledger))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.sleep(0.01)
        ledger.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    ledger = Slow(tmp_path / "teacher.sqlite")
    with ledger:
        asyncio.run(stopped(ledger))
        assert ledger.rows("SELECT count(*) FROM samples") == [(4,)]


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("tutelage.teacher.books.recorder.say", said.append)

    async def work(ledger: Ledger, cache: Cache) -> None:
        async with make_recorder(ledger, cache) as recorder:
            for place in range(3):
                await recorder.end(await recorder.begin(Call(request(numbered(place)), (0,), 9, 9)), CAME)
                cache._connection.execute("PRAGMA query_only = 1")

    cache = Cache(tmp_path / "cache.sqlite")
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        asyncio.run(work(ledger, cache))
        assert ledger.rows("SELECT count(*) FROM samples") == [(3,)]
    assert len(said) == 1
    assert str(cache.path) in said[0]
    cache.close()
