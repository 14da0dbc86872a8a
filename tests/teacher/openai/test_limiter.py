"""How many requests at once and in a minute, under a simulated clock."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.teacher.openai.limiter import Feeling, Gate, Limiter, backoff

FEELINGS: tuple[Feeling, ...] = ("well", "pushed back", "failed")
Limit = int | None
limits = st.none() | st.integers(1, 12)
token_limits = st.none() | st.integers(1, 100)
token_counts = st.integers(0, 130)
seconds = st.floats(0, 90)


@dataclass(frozen=True)
class Admission:
    at: float
    tokens: int


def keeps_to(admissions: list[Admission], requests: Limit, tokens: Limit) -> bool:
    """Whether every window of a minute that begins with an admission holds no more than the limits.

    A window that holds the most can be moved until it begins with one, so these are all that matter. A call of zero
    tokens may stand beside one above the limit, as long as it entered before: it took none.
    """
    for first, start in enumerate(admissions):
        window = [each for each in admissions[first:] if each.at < start.at + 60]
        if requests is not None and len(window) > requests:
            return False
        if tokens is not None and sum(each.tokens for each in window) > tokens:
            costly = [each for each in window if each.tokens]
            if len(costly) > 1 or costly[0] is not window[-1]:
                return False
    return True


def enters(gate: Gate, now: float, calls: int) -> list[int]:
    """Lets in so many calls, each known by the halvings at its entry."""
    entries = []
    for _ in range(calls):
        assert gate.enter(now, 1) == 0.0
        entries.append(gate.halvings)
    return entries


# --- at once


@pytest.mark.parametrize(("most", "first"), [(1, 1), (5, 5), (8, 8), (64, 8)])
def test_starts_small(most: int, first: int) -> None:
    gate = Gate(most)
    assert gate.concurrency == first
    enters(gate, 0.0, first)
    assert gate.enter(0.0, 1) is None
    assert gate.in_flight == first


def test_doubles_in_a_round_trip_until_the_first_push_back_then_adds_one() -> None:
    gate = Gate(100)
    for expected in (16, 32, 64):
        for entered in enters(gate, 0.0, gate.concurrency):
            gate.leave(0.0, "well", entered=entered)
        assert gate.concurrency == expected
    gate.leave(0.0, "pushed back", entered=enters(gate, 0.0, 1)[0])
    for expected in (33, 34, 35):
        for entered in enters(gate, 0.0, gate.concurrency):
            gate.leave(0.0, "well", entered=entered)
        assert gate.concurrency == expected
    well: Feeling = "well"
    for feeling in (well, well, FEELINGS[1], *(well,) * 16):  # what went well before a push-back does not count after
        gate.leave(0.0, feeling, entered=enters(gate, 0.0, 1)[0])
    assert gate.concurrency == 17
    gate.leave(0.0, "well", entered=enters(gate, 0.0, 1)[0])
    assert gate.concurrency == 18


@given(st.integers(1, 200), st.integers(0, 300), st.randoms(use_true_random=False))
def test_halves_once_for_all_that_were_in_flight(most: int, wells: int, random: Random) -> None:
    gate = Gate(most)
    for _ in range(wells):
        gate.leave(0.0, "well", entered=enters(gate, 0.0, 1)[0])
    before = gate.concurrency
    assert before == min(most, 8 + wells)
    old = enters(gate, 0.0, before)
    gate.leave(0.0, "pushed back", entered=old.pop())
    halved = gate.concurrency
    assert halved == max(1, before // 2)
    new: list[int] = []
    while old:  # whatever they say, and whoever enters between them
        if random.random() < 0.5 and gate.enter(0.0, 1) == 0.0:
            new.append(gate.halvings)
        gate.leave(0.0, random.choice(FEELINGS), entered=old.pop())
        assert gate.concurrency == halved
    new = new or enters(gate, 1.0, 1)
    gate.leave(1.0, "pushed back", entered=new.pop())
    assert gate.concurrency == max(1, halved // 2)


def test_calls_are_spaced_out_where_one_at_a_time_is_too_many() -> None:
    gate, now = Gate(1), 0.0
    for wait in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        gate.leave(now, "pushed back", entered=enters(gate, now, 1)[0])
        assert gate.enter(now, 1) == wait
        now += wait
    gate.leave(now + 1, "well", entered=enters(gate, now, 1)[0])
    assert gate.enter(now + 1, 1) == 59.0
    now += 60.0
    gate.leave(now, "well", entered=enters(gate, now, 1)[0])
    assert gate.enter(now, 1) == 45.0
    for _ in range(30):
        now += 60.0
        gate.leave(now, "well", entered=enters(gate, now, 1)[0])
    enters(gate, now, 1)


@given(st.floats(0.05, 5.0), st.floats(1.0, 20.0))
def test_most_calls_go_well_at_a_server_that_takes_few_and_does_not_say_when(rate: float, burst: float) -> None:
    gate = Gate(64)
    now, tokens, well, pushed = 0.0, burst, 0, 0
    while well < 200:
        wait = gate.enter(now, 1)
        assert wait is not None
        if wait == 0.0:
            good = tokens >= 1.0
            tokens, well, pushed = tokens - good, well + good, pushed + (not good)
            gate.leave(now, "well" if good else "pushed back")
        now, tokens = now + wait, min(burst, tokens + wait * rate)
    assert pushed < well / 2 + 10
    assert now < 4 * 200 / rate


def test_a_failure_says_nothing_about_the_server() -> None:
    gate = Gate(64)
    for entered in enters(gate, 0.0, 8):
        gate.leave(0.0, "failed", entered=entered)
    assert gate.concurrency == 8
    for entered in enters(gate, 0.0, 8):
        gate.leave(0.0, "well", entered=entered)
    assert gate.concurrency == 16  # nor did it end the quick growth


# --- pauses


def test_nobody_enters_in_a_pause() -> None:
    gate = Gate(64)
    enters(gate, 100.0, 2)
    gate.leave(100.0, "pushed back", pause=7.0)
    assert gate.enter(100.0, 1) == 7.0
    gate.leave(101.0, "well", pause=2.0)  # a shorter one does not end the longer
    assert gate.enter(103.0, 1) == 4.0
    assert gate.enter(107.0, 1) == 0.0


def test_headers_pause_only_where_nothing_remains() -> None:
    gate = Gate(64)
    gate.note_limits(0.0, 1, 50.0, 10, 50.0)
    gate.note_limits(0.0, None, 50.0, None, 50.0)
    gate.note_limits(0.0, 0, None, 0, None)
    assert gate.enter(0.0, 1) == 0.0
    gate.note_limits(0.0, 0, 3.0, 10, 50.0)
    assert gate.enter(0.0, 1) == 3.0
    gate.note_limits(0.0, 5, 9.0, 0, 4.0)
    assert gate.enter(0.0, 1) == 4.0


@pytest.mark.parametrize("pause", [math.inf, math.nan, -1.0, 0.0])
def test_a_senseless_pause_is_none(pause: float) -> None:
    gate = Gate(4)
    enters(gate, 0.0, 1)
    gate.leave(0.0, "failed", pause=pause)
    gate.note_limits(0.0, 0, pause, 0, pause)
    assert gate.enter(0.0, 1) == 0.0


# --- in a minute


@given(limits, token_limits, st.lists(st.tuples(seconds, token_counts), max_size=60))
def test_lets_in_as_soon_as_the_minute_allows_and_no_sooner(
    requests: Limit, tokens: Limit, asked: list[tuple[float, int]]
) -> None:
    gate = Gate(10**6, requests, tokens)
    admissions: list[Admission] = []
    now = 0.0
    for after, wanted in asked:
        now += after
        if gate.in_flight >= gate.concurrency:
            gate.leave(now, "failed")
        allowed = keeps_to([*admissions, Admission(now, wanted)], requests, tokens)
        wait = gate.enter(now, wanted)
        assert wait is not None
        if wanted:
            assert (wait == 0.0) == allowed
        else:
            assert wait > 0.0 or allowed
        for _ in range(2):  # a sum of floats may fall short of the instant, once
            if wait == 0.0:
                break
            now += wait
            wait = gate.enter(now, wanted)
            assert wait is not None
        assert wait == 0.0
        admissions.append(Admission(now, wanted))
    assert keeps_to(admissions, requests, tokens)


def test_a_call_above_the_minutes_tokens_enters_alone() -> None:
    gate = Gate(8, tokens_per_minute=100)
    assert gate.enter(0.0, 30) == 0.0
    assert gate.enter(10.0, 1000) == 50.0
    assert gate.enter(60.0, 1000) == 0.0
    assert gate.enter(61.0, 1) == 59.0
    assert gate.enter(120.0, 1) == 0.0


def test_asks_for_as_long_a_wait_as_the_tokens_need() -> None:
    gate = Gate(8, requests_per_minute=4, tokens_per_minute=100)
    for second in (0.0, 10.0, 20.0):
        assert gate.enter(second, 30) == 0.0
    assert gate.enter(30.0, 10) == 0.0
    assert gate.enter(30.0, 0) == 30.0  # for one request to be forgotten
    assert gate.enter(30.0, 40) == 40.0  # for two of 30 tokens to be
    assert gate.enter(30.0, 100) == 60.0


# --- all of it at once

actions = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), seconds),
        st.tuples(st.just("enter"), token_counts),
        st.tuples(st.just("leave"), st.tuples(st.integers(0, 1000), st.sampled_from(FEELINGS), seconds)),
        st.tuples(st.just("headers"), st.tuples(st.integers(0, 1), seconds)),
    ),
    max_size=120,
)


@given(st.integers(1, 30), limits, token_limits, actions)
def test_the_gate_keeps_its_promises_whatever_happens(
    most: int, requests: Limit, tokens: Limit, happened: list[tuple[str, object]]
) -> None:
    gate = Gate(most, requests, tokens)
    now = paused_until = 0.0
    in_flight: list[int] = []
    admissions: list[Admission] = []
    for what, value in happened:
        match what, value:
            case "wait", float(after):
                now += after
            case "enter", int(wanted):
                wait = gate.enter(now, wanted)
                assert (wait is None) == (len(in_flight) >= gate.concurrency)
                if wait == 0.0:
                    assert now >= paused_until
                    in_flight.append(gate.halvings)
                    admissions.append(Admission(now, wanted))
                    assert len(in_flight) <= gate.concurrency
            case "leave", (int(which), ("well" | "pushed back" | "failed") as feeling, float(pause)) if in_flight:
                gate.leave(now, feeling, pause, in_flight.pop(which % len(in_flight)))
                paused_until = max(paused_until, now + pause)
            case "headers", (int(remaining), float(reset)):
                gate.note_limits(now, remaining, reset, None, None)
                paused_until = max(paused_until, now if remaining else now + reset)
        assert 1 <= gate.concurrency <= most
        assert gate.in_flight == len(in_flight) <= most
    assert keeps_to(admissions, requests, tokens)


# --- waiting for the gate


class _Clock(selectors.SelectSelector):
    """A selector that never sleeps: the clock jumps to when something is due."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and for nothing"
        self.now += max(timeout, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose hours pass in no time."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def simulate(work: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(work())


def clock() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Job:
    """Comes, stays, says how it went; given up after some seconds, wherever it is then."""

    comes: float
    tokens: int
    stays: float
    feeling: Feeling
    pause: float | None
    ends: Literal["returns", "raises"]
    patience: float | None


jobs = st.builds(
    Job,
    comes=st.floats(0, 30),
    tokens=token_counts,
    stays=st.floats(0, 20),
    feeling=st.sampled_from(FEELINGS),
    pause=st.none() | st.floats(0, 30),
    ends=st.sampled_from(("returns", "raises")),
    patience=st.none() | st.floats(0, 60),
)


@given(st.integers(1, 12), limits, token_limits, st.lists(jobs, max_size=30))
def test_everybody_gets_in_in_order(most: int, requests: Limit, tokens: Limit, wanted: list[Job]) -> None:
    limiter = Limiter(most, requests, tokens)
    arrived: list[Job] = []
    entered: list[Job] = []
    admissions: list[Admission] = []

    async def call(job: Job) -> None:
        arrived.append(job)
        async with limiter.slot(job.tokens) as slot:
            entered.append(job)
            admissions.append(Admission(clock(), job.tokens))
            assert limiter.in_flight <= most
            await asyncio.sleep(job.stays)
            slot.feels(job.feeling, job.pause)
            if job.ends == "raises":
                raise ZeroDivisionError

    async def come(job: Job) -> None:
        await asyncio.sleep(job.comes)
        task = asyncio.create_task(call(job))
        await asyncio.wait([task], timeout=job.patience)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def work() -> None:
        await asyncio.gather(*map(come, wanted))

    simulate(work)
    assert limiter.in_flight == 0
    given_up = [job for job in arrived if not any(job is each for each in entered)]
    assert all(job.patience is not None for job in given_up)
    in_order = deque(arrived)
    for job in entered:
        while in_order[0] is not job:
            assert any(in_order[0] is each for each in given_up)
            in_order.popleft()
        in_order.popleft()
    assert keeps_to(admissions, requests, tokens)


def test_a_small_call_does_not_overtake_a_big_one() -> None:
    limiter = Limiter(8, tokens_per_minute=100)
    entries: list[tuple[float, int]] = []

    async def call(tokens: int) -> None:
        async with limiter.slot(tokens):
            entries.append((clock(), tokens))

    async def work() -> None:
        await asyncio.gather(*map(call, (90, 1000, 5)))

    simulate(work)
    assert entries == [(0.0, 90), (60.0, 1000), (120.0, 5)]


@pytest.mark.parametrize(("small", "enters_at"), [(10, 12.0), (20, 60.0)])
def test_those_behind_a_call_that_was_given_up_need_not_wait_for_it(small: int, enters_at: float) -> None:
    limiter = Limiter(8, tokens_per_minute=100)

    async def call(tokens: int) -> float:
        async with limiter.slot(tokens):
            return clock()

    async def work() -> None:
        assert await call(45) == 0.0
        await asyncio.sleep(10.0)
        assert await call(45) == 10.0
        big = asyncio.create_task(call(1000))  # not before 70 s
        next_one = asyncio.create_task(call(small))
        await asyncio.sleep(2.0)
        big.cancel()
        assert await next_one == enters_at

    simulate(work)


def test_a_call_cancelled_just_as_it_was_let_in_gives_its_place_back() -> None:
    limiter = Limiter(1)

    async def call() -> None:
        async with limiter.slot(1):
            raise AssertionError("it was cancelled before")

    async def work() -> None:
        async with limiter.slot(1):
            waiting = asyncio.create_task(call())
            await asyncio.sleep(1.0)
        assert limiter.in_flight == 1  # the one that waited, though it has not run yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert limiter.in_flight == 0
        async with limiter.slot(1):
            pass

    simulate(work)


def test_a_pause_from_one_call_holds_the_others_back() -> None:
    limiter = Limiter(64)
    starts: list[float] = []

    async def call() -> None:
        async with limiter.slot(1) as slot:
            starts.append(clock())
            await asyncio.sleep(1.0)
            if clock() == 1.0:
                slot.feels("pushed back", 10.0)
                limiter.note_limits(0, 12.0, None, None)
            elif clock() > 1.0:
                slot.feels("well")

    async def work() -> None:
        await asyncio.gather(*(call() for _ in range(16)))

    simulate(work)
    assert starts == [0.0] * 8 + [13.0] * 4 + [14.0] * 4
    assert limiter.concurrency == 5  # halved once, then one more for a window in which all went well


def test_a_call_that_says_nothing_or_raises_changes_nothing() -> None:
    limiter = Limiter(64)

    async def work() -> None:
        async with limiter.slot(1):
            pass
        with pytest.raises(ZeroDivisionError):
            async with limiter.slot(1):
                raise ZeroDivisionError
        assert (limiter.concurrency, limiter.in_flight) == (8, 0)

    simulate(work)


# --- between tries


@given(st.integers(0, 10**9), st.integers())
def test_backs_off_by_a_random_share_of_a_bound_that_doubles(attempt: int, seed: int) -> None:
    assert 0.0 <= backoff(attempt, Random(seed)) <= min(60.0, 0.5 * 2.0 ** min(attempt, 100))


def test_backing_off_spreads_over_the_whole_bound() -> None:
    random = Random(0)
    drawn = [backoff(3, random) for _ in range(2000)]
    assert min(drawn) < 0.05
    assert max(drawn) > 3.95
    assert sum(drawn) / len(drawn) == pytest.approx(2.0, abs=0.1)
