"""How many requests may be at the server at once, and how many may leave in a minute.

`Gate` decides, without a clock or an event loop of its own; `Limiter` makes coroutines wait for it, in their order.

The number at once follows the server by additive increase and multiplicative decrease (Chiu and Jain 1989), with the
slow start of TCP (RFC 5681) before the first push-back.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from random import Random
from types import TracebackType
from typing import Literal

Feeling = Literal["well", "pushed back", "failed"]
"""What a call that ended says about the server: it answered; it asks for fewer (HTTP 429, 503, 529); nothing."""

_MINUTE = 60.0
_FIRST = 8
_FIRST_SPACING, _LEAST_SPACING, _MOST_SPACING = 0.5, 0.05, 60.0
"""Seconds between two calls to a server for which one at a time is too many."""
_SPACING_KEPT = 0.75
_BACKOFF_SECONDS = 0.5
_MOST_BACKOFF_SECONDS = 60.0


def backoff(attempt: int, random: Random) -> float:
    """Seconds to wait before another try; attempt: 0 after the first one.

    Drawn evenly from 0 to a bound that doubles up to a minute ("full jitter"), so that requests that failed together
    do not come back together.
    """
    return random.uniform(0.0, min(_MOST_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2.0 ** min(attempt, 16)))


class _Minute:
    """What left within the last minute: exact, so that the next second never makes up for a burst that was let out."""

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self._most_requests = requests
        self._most_tokens = tokens
        self._left: deque[tuple[float, int]] = deque()  # when it no longer counts, its tokens
        self._tokens = 0

    def wait(self, now: float, tokens: int) -> float:
        """Seconds until a call of so many tokens may leave, 0.0 if it may now."""
        while self._left and self._left[0][0] <= now:
            self._tokens -= self._left.popleft()[1]
        requests_over = tokens_over = 0
        if self._most_requests is not None:
            requests_over = len(self._left) + 1 - self._most_requests
        if self._most_tokens is not None:  # a call above a whole minute's tokens leaves when no others count
            tokens_over = self._tokens + min(tokens, self._most_tokens) - self._most_tokens
        until = now
        oldest = iter(self._left)
        while requests_over > 0 or tokens_over > 0:
            until, freed = next(oldest)
            requests_over -= 1
            tokens_over -= freed
        return until - now

    def count(self, now: float, tokens: int) -> None:
        """A call leaves."""
        if self._most_requests is not None or self._most_tokens is not None:
            self._left.append((now + _MINUTE, tokens))
            self._tokens += tokens


class Gate:
    """Whether one more call may leave. `now`: seconds of any clock that never goes back.

    Concurrency starts at 8, or `most` if that is less, and stays between 1 and `most`. Each call that went well adds
    one until the first push-back; after it, as many good ones as the concurrency add one. A push-back halves it, once
    for all the calls that were in flight then: what these say later is about the load before.
    Where one at a time is too many and the server does not say when to come again, calls are spaced out: a push-back
    doubles the time between two, a good one takes a quarter off, until there is none and the concurrency grows again.

    Per minute: within any 60 seconds, [t, t + 60), never more calls and tokens are let in than the limits given. The
    only exception is one call of more tokens than the limit: it enters when no other counts, and alone. A call counts
    from when it enters, whatever becomes of it. The gate keeps no queue: who asks in a fixed order, as `Limiter`
    does, gets everybody in.
    """

    def __init__(self, most: int, requests_per_minute: int | None = None, tokens_per_minute: int | None = None) -> None:
        self._most = most
        self._concurrency = min(most, _FIRST)
        self._in_flight = 0
        self._halvings = 0
        self._wells = 0
        self._paused_until = -math.inf
        self._spacing = 0.0
        self._next = -math.inf
        self._minute = _Minute(requests_per_minute, tokens_per_minute)

    @property
    def concurrency(self) -> int:
        """How many calls may be in flight at present."""
        return self._concurrency

    @property
    def in_flight(self) -> int:
        """How many are; for a while after a halving more than may be."""
        return self._in_flight

    @property
    def halvings(self) -> int:
        """How often it was pushed back; `leave` asks what this was when the call entered."""
        return self._halvings

    def enter(self, now: float, tokens: int) -> float | None:
        """Lets a call in, and counts it, if it may leave now.

        tokens: what it may come to, not negative. Returns 0.0 if it was let in, the seconds after which it is worth
        asking again, or None if that is not before another call has left.
        """
        if self._in_flight >= self._concurrency:
            return None
        wait = max(self._paused_until - now, self._next - now, self._minute.wait(now, tokens))
        if wait > 0:
            return wait
        self._minute.count(now, tokens)
        self._next = now + self._spacing
        self._in_flight += 1
        return 0.0

    def leave(self, now: float, feeling: Feeling, pause: float | None = None, entered: int | None = None) -> None:
        """A call has ended.

        pause: seconds in which nobody may enter, as a Retry-After header says. entered: `halvings` when it entered;
        None: as it is now.
        """
        self._in_flight -= 1
        self._pause(now, pause)
        if entered is not None and entered < self._halvings:
            return
        if feeling == "pushed back":
            self._halvings += 1
            self._wells = 0
            if self._concurrency == 1 and pause is None:
                self._spacing = min(_MOST_SPACING, max(_FIRST_SPACING, 2 * self._spacing))
                self._next = now + self._spacing
            self._concurrency = max(1, self._concurrency // 2)
        elif feeling == "well" and self._spacing > 0:
            spacing = self._spacing * _SPACING_KEPT
            self._spacing = spacing if spacing >= _LEAST_SPACING else 0.0
        elif feeling == "well":
            self._wells += 1
            if self._halvings == 0 or self._wells >= self._concurrency:
                self._wells = 0
                self._concurrency = min(self._most, self._concurrency + 1)

    def note_limits(
        self,
        now: float,
        remaining_requests: int | None,
        reset_requests: float | None,
        remaining_tokens: int | None,
        reset_tokens: float | None,
    ) -> None:
        """What a reply's rate-limit headers say: where nothing remains, nobody enters before the reset (in seconds)."""
        if remaining_requests is not None and remaining_requests <= 0:
            self._pause(now, reset_requests)
        if remaining_tokens is not None and remaining_tokens <= 0:
            self._pause(now, reset_tokens)

    def _pause(self, now: float, seconds: float | None) -> None:
        if seconds is not None and math.isfinite(seconds):  # never for ever: the number came from outside
            self._paused_until = max(self._paused_until, now + seconds)


class Slot:
    """One call's stay in a `Limiter`: `async with limiter.slot(tokens) as slot`."""

    __slots__ = ("_entered", "_feeling", "_limiter", "_pause", "_tokens")

    def __init__(self, limiter: Limiter, tokens: int) -> None:
        self._limiter = limiter
        self._tokens = tokens
        self._entered = 0
        self._feeling: Feeling = "failed"
        self._pause: float | None = None

    def feels(self, feeling: Feeling, pause: float | None = None) -> None:
        """What the call says about the server, and the seconds that it asks to be left alone; told when it leaves."""
        self._feeling = feeling
        self._pause = pause

    async def __aenter__(self) -> Slot:
        self._entered = await self._limiter._enter(self._tokens)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limiter._leave(self._feeling, self._pause, self._entered)


class Limiter:
    """Lets coroutines of one event loop through a `Gate`, first come, first served; arguments as there.

    One that is cancelled while it waits leaves the queue.
    """

    def __init__(self, most: int, requests_per_minute: int | None = None, tokens_per_minute: int | None = None) -> None:
        self._gate = Gate(most, requests_per_minute, tokens_per_minute)
        self._queue: deque[tuple[asyncio.Future[int], int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def concurrency(self) -> int:
        """How many calls may be in flight at present."""
        return self._gate.concurrency

    @property
    def in_flight(self) -> int:
        """How many are."""
        return self._gate.in_flight

    def slot(self, tokens: int) -> Slot:
        """A place for one call of at most so many tokens; entering it waits for its turn."""
        return Slot(self, tokens)

    def note_limits(
        self,
        remaining_requests: int | None,
        reset_requests: float | None,
        remaining_tokens: int | None,
        reset_tokens: float | None,
    ) -> None:
        """As `Gate.note_limits`, now."""
        now = asyncio.get_running_loop().time()
        self._gate.note_limits(now, remaining_requests, reset_requests, remaining_tokens, reset_tokens)

    async def _enter(self, tokens: int) -> int:
        """Waits for its turn; the gate's halvings then."""
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append((turn, tokens))
        if len(self._queue) == 1:
            self._let_in()
        if turn.done():
            return turn.result()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._let_in()  # those behind it may have waited for nothing else
            else:  # it was let in, but the task was cancelled before it knew
                self._leave("failed", None, turn.result())
            raise

    def _leave(self, feeling: Feeling, pause: float | None, entered: int) -> None:
        self._gate.leave(asyncio.get_running_loop().time(), feeling, pause, entered)
        self._let_in()

    def _let_in(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            turn, tokens = self._queue[0]
            if not turn.cancelled():
                wait = self._gate.enter(loop.time(), tokens)
                if wait is None:
                    return
                if wait > 0:
                    self._ask_again(loop, loop.time() + wait)
                    return
                turn.set_result(self._gate.halvings)
            self._queue.popleft()

    def _ask_again(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= when:
                return  # it asks once too often, which is cheaper than a timer for each call
            self._timer.cancel()
        self._timer = loop.call_at(when, self._timer_rings)

    def _timer_rings(self) -> None:
        self._timer = None
        self._let_in()
