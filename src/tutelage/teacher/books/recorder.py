"""Keeps the books for a teacher behind a network: the budget, and the ledger with one commit for many calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tutelage.errors import BudgetError, WorkspaceError
from tutelage.progress import say
from tutelage.teacher.books.budget import REACHED, Budget
from tutelage.teacher.books.cache import Cache
from tutelage.teacher.books.charges import ended, worst_charge
from tutelage.teacher.books.entries import Begun, Charge, Ended, Entry
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import Prices
from tutelage.teacher.protocol import Call, Outcome, Teacher, sample_keys


@dataclass(frozen=True, slots=True)
class _Open:
    call: Call
    charge: Charge


class LedgerRecorder:
    """A Recorder over a ledger, for one event loop; an async context manager.

    What many calls have to say is written together: each waits for one commit, and none for its own alone. A shared
    cache that cannot be written is left alone, with a note.
    """

    def __init__(
        self,
        ledger: Ledger,
        teacher: Teacher,
        budget: Budget,
        prices: Prices | None,
        cache: Cache | None,
    ) -> None:
        self._ledger, self._teacher, self._budget, self._prices, self._cache = ledger, teacher, budget, prices, cache
        self._open: dict[int, _Open] = {}
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self._queue: list[tuple[Entry, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    async def __aenter__(self) -> LedgerRecorder:
        return self

    async def __aexit__(self, *raised: object) -> None:
        stopped: asyncio.CancelledError | None = None
        while self._flusher is not None and not self._flusher.done():
            try:
                await asyncio.wait((self._flusher,))
            except asyncio.CancelledError as error:  # Ctrl-C ends the wait, and not the writing of what came
                stopped = error
        self._thread.shutdown()
        if stopped is not None:
            raise stopped

    async def begin(self, call: Call) -> int:
        """As Recorder."""
        worst = worst_charge(self._prices, call, batch=False)
        async with self._turn:
            while not self._budget.reserve(worst.tokens, worst.cost):
                if not self._open or not self._budget.may_fit(worst.tokens, worst.cost):
                    raise BudgetError(REACHED)
                self._freed.clear()
                await self._freed.wait()
            number = self._ledger.number()
            self._open[number] = _Open(call, worst)
        await self._write(Begun(number, self._teacher, call, "direct", worst))
        return number

    async def end(self, number: int, outcome: Outcome) -> None:
        """As Recorder."""
        one = self._open[number]
        keys = sample_keys(self._teacher, one.call.request)
        entry = ended(self._prices, number, keys, outcome, one.charge, batch=False)
        await self._write(entry)
        self._settle(number, entry.charge)

    def _settle(self, number: int, charge: Charge) -> None:
        reserved = self._open.pop(number).charge
        self._budget.settle(reserved.tokens, reserved.cost, charge.tokens, charge.cost)
        self._freed.set()

    async def _write(self, entry: Entry) -> None:
        written = asyncio.get_running_loop().create_future()
        self._queue.append((entry, written))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        await written

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            await asyncio.sleep(0)  # for those that are ready, too
            taken, self._queue = self._queue, []
            try:
                # The rows in this thread, where they cost no more than their time; the wait for the disk in another.
                self._ledger.add([entry for entry, _ in taken])
                await loop.run_in_executor(self._thread, self._commit, [entry for entry, _ in taken])
            # Whatever it is, it belongs to those who wait.
            except Exception as error:
                for _, written in taken:
                    if not written.done():
                        written.set_exception(error)
            else:
                for _, written in taken:
                    if not written.done():
                        written.set_result(None)

    def _commit(self, entries: Sequence[Entry]) -> None:
        self._ledger.commit()
        if self._cache is None:
            return
        try:
            self._cache.keep([entry for entry in entries if isinstance(entry, Ended)])
        # The ledger has all of it. To raise would cancel what is in flight, and that is paid for.
        except WorkspaceError as error:
            self._cache = None
            say(f"Note: {error} Until then the run goes on without it.")
