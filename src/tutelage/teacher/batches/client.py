"""The batch road to an OpenAI-compatible endpoint: requests are handed in together, and answered within a day.

A call goes: noted in the ledger under a mark, uploaded, handed in under that mark, noted under the batch's id, polled,
fetched. A process that ends anywhere in between leaves rows by which the next one goes on: nothing that was handed in
is handed in again.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import aiohttp

from tutelage.config import OpenAITeacherSettings
from tutelage.errors import BudgetError, TeacherError
from tutelage.progress import say
from tutelage.teacher.batches.api import BatchApi, GoneError, NoBatchesError, TooMuchError
from tutelage.teacher.batches.book import BatchBook, OpenBatch
from tutelage.teacher.batches.harvest import Harvest, Out
from tutelage.teacher.batches.lines import Line
from tutelage.teacher.batches.queue import Queue
from tutelage.teacher.openai import keys
from tutelage.teacher.openai.client import OpenAITeacher, Settled
from tutelage.teacher.openai.exchange import session
from tutelage.teacher.protocol import Wanted

_SAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How batches are watched, and how large they get.

    pause: waits so many seconds. clock: seconds. first, growth, most: seconds between two looks at what is under way.
    lines, size: the service's limits for one batch, the size in bytes with some room.
    """

    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    first: float = 2.0
    growth: float = 1.5
    most: float = 60.0
    lines: int = 50_000
    size: int = 90_000_000


class BatchTeacher(OpenAITeacher):
    """The same teacher by its batch API, at the batch's price; both roads lead to the same samples.

    Where only a Recorder is at hand, it converses as an OpenAITeacher does.
    """

    def __init__(self, settings: OpenAITeacherSettings, pace: Pace | None = None) -> None:
        super().__init__(settings)
        self._pace = pace or Pace()

    async def converse_by_batches(self, wanted: Iterable[Wanted], book: BatchBook, settled: Settled) -> None:
        """Asks for all that is wanted, once what earlier processes handed in has come. settled, errors: as converse."""
        queue = Queue(self._settings, self._abilities, iter(wanted), settled)
        async with session(self._endpoint) as client:
            work = _Work(self._endpoint, self._pace, client, book, queue)
            await work.finish_earlier(book.open_batches(), cancel=False)
            await work.ask_all()


async def take_back(teacher: OpenAITeacher, book: BatchBook, pace: Pace | None = None) -> None:
    """Cancels what earlier processes handed in, and keeps what is done by then: the run goes another road now."""
    if earlier := book.open_batches():
        queue = Queue(teacher._settings, teacher._abilities, iter(()), lambda _request, _reason: None)
        async with session(teacher._endpoint) as client:
            work = _Work(teacher._endpoint, pace or Pace(), client, book, queue)
            await work.finish_earlier(earlier, cancel=True)


@dataclass
class _Work:
    """One `converse_by_batches`. most_out: batches under way beyond which the endpoint refused one for its size."""

    endpoint: keys.Endpoint
    pace: Pace
    client: aiohttp.ClientSession
    book: BatchBook
    queue: Queue
    out: dict[str, Out] = field(default_factory=dict)
    most_out: int | None = None
    said: float | None = None

    def __post_init__(self) -> None:
        self.settings = self.endpoint.settings
        self.most_lines = self.pace.lines
        self.api = BatchApi(self.endpoint, self.client, self.pace.pause)
        self.harvest = Harvest(self.endpoint, self.api, self.book, self.queue)

    async def finish_earlier(self, earlier: Iterable[OpenBatch], cancel: bool) -> None:
        """Sees what earlier processes left to its end; cancel: an early one."""
        for one in earlier:
            batch = await self._find_earlier(one, cancel)
            if batch is not None:
                if cancel:
                    say(f"Cancelling the batch {batch} of an earlier start; what it has done is kept.")
                    await self.api.cancel(batch)
                self.out[batch] = Out(batch, dict(one.places), {})
        while self.out:
            await self._wait(cancel)

    async def _find_earlier(self, one: OpenBatch, cancel: bool) -> str | None:
        """The id of a batch, None if it was not handed in."""
        if one.handed_in:
            return one.name
        try:
            batch = await self.api.find(one.name)
        except NoBatchesError:
            if not cancel:
                raise
            self.harvest.lose(Out(one.name, dict(one.places), {}))
            return None
        if batch is None:
            self.book.forget(one.name)
        else:
            self.book.handed_in(one.name, batch)
        return batch

    async def ask_all(self) -> None:
        """Raises: as `converse`; batches that are under way then are found again at the next start."""
        while True:
            barred = await self._hand_in_all()
            if self.out:
                await self._wait(cancel=False)
            elif barred is not None:
                raise barred
            else:
                return
            if self.queue.stop is not None:
                raise TeacherError(self.queue.stop)

    async def _hand_in_all(self) -> BudgetError | None:
        """Hands in all that the endpoint and the budget take; the error if the latter takes no more for now."""
        while self.most_out is None or len(self.out) < self.most_out:
            lines = self.queue.take(self.most_lines, self.pace.size)
            if not lines:
                return None
            try:
                await self._hand_in(lines)
            except BudgetError as error:
                self.queue.put_back(lines)
                return error
        return None

    async def _hand_in(self, lines: Sequence[Line]) -> None:
        """Hands in as many of the lines as the budget takes, and puts the others back."""
        mark = uuid.uuid4().hex
        numbers = self.book.begin_many(mark, [line.call(self.settings) for line in lines])
        self.queue.put_back(lines[len(numbers) :])
        batch = dict(zip(numbers, lines, strict=False))
        data = "".join(line.text(self.settings, number) for number, line in batch.items()).encode()
        file: str | None = None
        try:
            file = await self._upload(data, mark)
            batch_id = await self.api.create(file, mark)
        except TooMuchError as error:
            self.book.forget(mark)
            self.queue.put_back(lines[: len(numbers)])
            self._make_smaller(len(numbers), str(error), others=0 if file is None else len(self.out))
            return
        self.book.handed_in(mark, batch_id)
        for line in batch.values():
            line.body = ""  # a batch's bodies take much memory; a line that comes back is written anew
        self.out[batch_id] = Out(batch_id, {number: line.places for number, line in batch.items()}, batch)

    async def _upload(self, data: bytes, mark: str) -> str:
        try:
            return await self.api.upload(data)
        except TeacherError:
            self.book.forget(mark)
            raise

    def _make_smaller(self, lines: int, reason: str, others: int) -> None:
        """A batch of so many lines is too much: besides the others, or by itself. Raises: TeacherError."""
        if others:
            self.most_out = others
            return
        if lines == 1:
            raise TeacherError(
                f"The teacher at {self.endpoint.url} takes not even a batch of one request ({reason}). Try later, when "
                'the account\'s other batches have ended, or set teacher.road to "direct"; then `tutelage resume`.'
            )
        self.most_lines = lines // 2
        say(f"Note: the teacher takes no batch of {lines:,} requests; trying {self.most_lines:,}.")

    async def _wait(self, cancel: bool) -> None:
        """Looks at the batches under way until at least one has ended, and takes in what it brought."""
        wait = self.pace.first
        while not await self._look(cancel):
            self._tell()
            await self.pace.pause(wait)
            wait = min(wait * self.pace.growth, self.pace.most)

    async def _look(self, cancel: bool) -> bool:
        before = len(self.out)
        refused: list[tuple[int, str]] = []
        for batch in list(self.out.values()):
            try:
                batch.state = await self.api.state(batch.id)
            except GoneError:
                batch.unclear += 1
                if batch.unclear > self.settings.retries:
                    if not cancel:
                        await self.api.check()
                    del self.out[batch.id]
                    self.harvest.lose(batch)
                continue
            if batch.state.lacks_replies and batch.unclear < self.settings.retries:
                batch.unclear += batch.state.ended
            elif batch.state.ended:
                del self.out[batch.id]
                refusal = await self.harvest.take_in(batch, batch.state)
                if refusal is not None:
                    refused.append((len(batch.lines), refusal))
        well = before - len(self.out) - len(refused)
        if refused:
            self._make_smaller(*min(refused), others=len(self.out) + well)
        elif self.most_out is not None:
            self.most_out += well  # the account may have room again
        return len(self.out) < before

    def _tell(self) -> None:
        now = self.pace.clock()
        if self.said is not None and now - self.said < _SAY_SECONDS:
            return
        self.said = now
        states = [batch.state for batch in self.out.values() if batch.state is not None]
        done, failed = sum(state.done for state in states), sum(state.failed for state in states)
        total = sum(len(batch.places) for batch in self.out.values())
        say(f"The teacher's batches: {len(self.out)} under way, {done:,} of {total:,} calls done, {failed:,} failed.")
