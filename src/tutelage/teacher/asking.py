"""Asking a teacher for what the ledger does not hold yet."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tutelage.config import BudgetSettings
from tutelage.errors import BudgetError
from tutelage.teacher.batches.book import LedgerBatchBook
from tutelage.teacher.batches.client import BatchTeacher, take_back
from tutelage.teacher.books.budget import Budget, Whose
from tutelage.teacher.books.cache import Cache
from tutelage.teacher.books.charges import spent_so_far
from tutelage.teacher.books.entries import Begun, Ended, Entry
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import Prices
from tutelage.teacher.books.recorder import LedgerRecorder
from tutelage.teacher.openai.client import OpenAITeacher
from tutelage.teacher.protocol import (
    Call,
    FreeTeacher,
    Outcome,
    PaidTeacher,
    Reply,
    Request,
    Sample,
    SampleKind,
    Teacher,
    Wanted,
    sample_keys,
)
from tutelage.teacher.stream import stream

OnSettled = Callable[[Request, str | None], None]


@dataclass(frozen=True, slots=True)
class Spending:
    """What a paid teacher may cost. prices: None if unknown. cache: a file of replies that runs share.

    whose: as `Budget` has it.
    """

    budget: BudgetSettings = field(default_factory=BudgetSettings)
    prices: Prices | None = None
    cache: Path | None = None
    whose: Whose = "teacher"


def ask(
    teacher: FreeTeacher | PaidTeacher,
    requests: Sequence[Request],
    ledger: Ledger,
    spending: Spending | None = None,
    on_settled: OnSettled | None = None,
) -> None:
    """Asks for every sample of `requests` that the ledger does not hold; `Ledger.reply` has them afterwards.

    Each reply is committed before anything else happens to it. What failed earlier is asked for again; what a teacher
    answered never is. Requests with the same samples are sent once. `requests` are taken one by one, and may be made
    as they are taken.
    on_settled: called once for each request when nothing more will be asked for it, with the reason why samples are
    missing, if they are.
    Raises: TeacherError if the teacher cannot be used at all, BudgetError at a cap, WorkspaceError if the ledger
    cannot be written; every reply that came before stays in the ledger.
    """
    tell = on_settled or (lambda _request, _reason: None)
    if isinstance(teacher, PaidTeacher):
        _ask_paid(teacher, requests, ledger, spending or Spending(), tell)
    else:
        _ask_free(teacher, requests, ledger, tell)


_LUMP = 256
"""Requests found in the cache that are written together: while each is, no reply is read from the network."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Samples of a request that the cache has. whole: none is missing then."""

    request: Request
    keys: Sequence[str]
    samples: dict[int, Sample]
    whole: bool


@dataclass
class _Queue:
    """What is still wanted of the requests, in their order; a request whose samples are under way waits for them."""

    teacher: Teacher
    requests: Sequence[Request]
    ledger: Ledger
    cache: Cache | None
    deliver: Callable[[tuple[Request, str | None]], None]
    answered: int = 0
    _waiting: dict[str, list[Request]] = field(default_factory=dict)
    _found: list[_Found] = field(default_factory=list)

    def wanted(self) -> Iterator[Wanted]:
        for request in self.requests:
            keys = sample_keys(self.teacher, request)
            if keys[0] in self._waiting:
                self._waiting[keys[0]].append(request)
                continue
            known = self.ledger.known(keys)
            missing = [place for place in range(len(keys)) if place not in known]
            if not missing:
                self._settle(request, None)
                continue
            self._waiting[keys[0]] = []
            if left := self._look_up(request, keys, missing):
                yield request, left
        self._take_over()

    def settled(self, request: Request, reason: str | None) -> None:
        for one in (request, *self._waiting.pop(sample_keys(self.teacher, request)[0])):
            self._settle(one, reason)

    def _settle(self, request: Request, reason: str | None) -> None:
        self.answered += reason is None
        self.deliver((request, reason))

    def _look_up(self, request: Request, keys: Sequence[str], missing: Sequence[int]) -> tuple[int, ...]:
        """Takes what the cache has of the missing samples; those that it has not."""
        if self.cache is None:
            return tuple(missing)
        cached = self.cache.find(keys)
        found = {place: cached[place] for place in missing if place in cached}
        left = tuple(place for place in missing if place not in found)
        if found:
            self._found.append(_Found(request, keys, found, whole=not left))
            if left or len(self._found) >= _LUMP:
                self._take_over()
        return left

    def _take_over(self) -> None:
        """Writes what was found, and settles the requests that lack nothing now."""
        taken, self._found = self._found, []
        entries: list[Entry] = []
        for one in taken:
            number, call = self.ledger.number(), Call(one.request, tuple(one.samples), 0, 0)
            entries += Begun(number, self.teacher, call, "cache"), Ended(number, one.keys, Outcome(one.samples))
        if entries:
            self.ledger.write(entries)
        for one in taken:
            if one.whole:
                self.settled(one.request, None)


def _ask_paid(
    teacher: PaidTeacher, requests: Sequence[Request], ledger: Ledger, spending: Spending, tell: OnSettled
) -> None:
    ledger.end_interrupted()
    budget = Budget(spending.budget, spent_so_far(ledger, spending.prices), spending.prices, spending.whose)
    with contextlib.ExitStack() as exits:
        cache = None if spending.cache is None else exits.enter_context(contextlib.closing(Cache(spending.cache)))

        async def work(deliver: Callable[[tuple[Request, str | None]], None]) -> None:
            queue = _Queue(teacher, requests, ledger, cache, deliver)
            book = LedgerBatchBook(ledger, teacher, budget, spending.prices, cache)
            try:
                if isinstance(teacher, BatchTeacher):
                    await teacher.converse_by_batches(queue.wanted(), book, queue.settled)
                    return
                if isinstance(teacher, OpenAITeacher):
                    await take_back(teacher, book)
                async with LedgerRecorder(ledger, teacher, budget, spending.prices, cache) as recorder:
                    await teacher.converse(queue.wanted(), recorder, queue.settled)
            except BudgetError:  # what was in flight at the cap has ended by now, and counts
                raise BudgetError(budget.reached(queue.answered, len(requests))) from None

        exits.enter_context(_few_collections())
        for request, reason in exits.enter_context(contextlib.closing(stream(work))):
            tell(request, reason)


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Leaves what is there already out of garbage collection: PyTorch's objects alone take a tenth of all time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _ask_free(teacher: FreeTeacher, requests: Sequence[Request], ledger: Ledger, tell: OnSettled) -> None:
    alike: dict[str, list[Request]] = {}
    unknown: list[Request] = []
    for request in requests:
        keys = sample_keys(teacher, request)
        if keys[0] in alike:
            alike[keys[0]].append(request)
        elif len(ledger.known(keys)) < len(keys):
            alike[keys[0]] = [request]
            unknown.append(request)
        else:
            tell(request, None)
    with _closing(teacher.answer(unknown) if unknown else iter(())) as arrivals:
        for request, reply in arrivals:
            keys = sample_keys(teacher, request)
            known = set(ledger.known(keys))
            places = tuple(place for place in range(request.replies) if place not in known)
            number, samples = ledger.number(), _samples(reply, places)
            outcome = Outcome(samples, reply.usage, None if samples else "no reply", reply.error or "")
            call = Call(request, places, 0, 0)
            ledger.write([Begun(number, teacher, call, "free"), Ended(number, keys, outcome)])
            for same in alike[keys[0]]:
                tell(same, reply.error)


def _samples(reply: Reply, places: Sequence[int]) -> dict[int, Sample]:
    """A free teacher's texts; where it has fewer than were asked for there are no more."""
    if reply.error is not None:
        return {}
    samples = {}
    for place in places:
        told = place < len(reply.texts)
        reason = reply.finish_reasons[place] if told and reply.finish_reasons else ""
        kind: SampleKind = "empty" if not told else "cut" if reason == "length" else "text"
        samples[place] = Sample(kind, reply.texts[place] if told else None, reason)
    return samples


@contextlib.contextmanager
def _closing(arrivals: Iterator[tuple[Request, Reply]]) -> Iterator[Iterator[tuple[Request, Reply]]]:
    try:
        yield arrivals
    finally:
        if isinstance(arrivals, Generator):
            arrivals.close()  # takes back what is still in flight
