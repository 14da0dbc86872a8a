"""A teacher behind any OpenAI-compatible endpoint, chat or completion, request by request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import aiohttp

from tutelage.config import OpenAITeacherSettings
from tutelage.errors import BudgetError, TeacherError
from tutelage.progress import say
from tutelage.teacher.openai import faults, keys, wire
from tutelage.teacher.openai.exchange import limits, send, session
from tutelage.teacher.openai.faults import Fault
from tutelage.teacher.openai.learning import curable, learn, learn_from_reply
from tutelage.teacher.openai.limiter import Limiter, Slot, backoff
from tutelage.teacher.openai.stopping import Stop, StoppedError
from tutelage.teacher.protocol import Outcome, Recorder, Request, Usage, Wanted, sample_keys

Settled = Callable[[Request, str | None], None]

_LONG_PAUSE = 60.0
_FAREWELL_SECONDS = 20.0
"""How long Ctrl-C waits for replies that are under way; a second one does not."""
_BYTES_A_TOKEN = 3
"""Of a prompt, for the limit of tokens a minute: accounts are limited by an estimate, too, and nearly all texts have
more. A budget counts with the most that a prompt may come to."""


class OpenAITeacher:
    """Any OpenAI-compatible endpoint as a teacher (`PaidTeacher`).

    What an endpoint will not take is noticed at its first refusal and remembered: from one that ignores or refuses `n`
    each sample is asked for alone.
    Raises: TeacherError if the address is none, the key cannot be used, or the OpenAI service is meant without a key.
    """

    def __init__(self, settings: OpenAITeacherSettings) -> None:
        self._settings = settings
        self._endpoint = keys.endpoint(settings)
        self._abilities = wire.Abilities()

    @property
    def name(self) -> str:
        return self._settings.model

    @property
    def identity(self) -> dict[str, object]:
        return identity(self._settings)

    async def converse(self, wanted: Iterable[Wanted], recorder: Recorder, settled: Settled) -> None:
        """As PaidTeacher. Raises: TeacherError on a wrong key, an unknown model, an account without quota, no server,
        and the like; BudgetError.
        """
        settings = self._settings
        limiter = Limiter(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute)
        async with session(self._endpoint) as client:
            talk = _Conversation(self, self._endpoint, self._abilities, client, limiter, recorder, settled)
            await talk.hold(iter(wanted))


def identity(settings: OpenAITeacherSettings) -> dict[str, object]:
    """What decides an endpoint's replies; not its address: the same model behind another port replies the same."""
    names = ("kind", "model", "endpoint", "temperature", "top_p", "max_new_tokens", "thinking_tokens")
    return {name: getattr(settings, name) for name in names}


@dataclass
class _Conversation:
    """One `converse`."""

    teacher: OpenAITeacher
    endpoint: keys.Endpoint
    abilities: wire.Abilities
    client: aiohttp.ClientSession
    limiter: Limiter
    recorder: Recorder
    settled: Settled
    stop: Stop = field(default_factory=Stop)
    random: Random = field(default_factory=Random)
    told_of_pause: bool = False

    def __post_init__(self) -> None:
        self.settings = self.endpoint.settings
        self.url = self.endpoint.at(wire.path(self.settings))

    async def hold(self, pending: Iterator[Wanted]) -> None:
        """Asks for all that is pending, so many requests at a time.

        Cancelled, it lets nothing more leave, and waits a while for what is in flight: it may have been paid.
        """
        workers = [asyncio.create_task(self._work(pending)) for _ in range(self.settings.concurrency)]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
        except asyncio.CancelledError:
            self.stop.call(TeacherError("stopped"))
            await asyncio.wait(workers, timeout=_FAREWELL_SECONDS)
            raise
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self.stop.error is not None:
            raise self.stop.error

    async def _work(self, pending: Iterator[Wanted]) -> None:
        with contextlib.suppress(StoppedError):
            while not self.stop.called and (one := next(pending, None)) is not None:
                self.settled(one[0], await self._serve(*one))

    async def _serve(self, request: Request, places: tuple[int, ...]) -> str | None:
        """Asks for the samples at the places in as many calls as it takes; why some are missing, if they are."""
        known_as = sample_keys(self.teacher, request)
        reason: str | None = None
        if len(places) > 1 and self.abilities.honours_n:
            places, reason = await self._together(request, known_as, places)
        if reason is not None or not places:
            return reason
        calls = (self._answer(request, known_as, (place,)) for place in places)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        if raised := [answer for answer in answers if isinstance(answer, BaseException)]:
            raise next((error for error in raised if not isinstance(error, StoppedError)), raised[0])
        return next((answer.detail for answer in answers if isinstance(answer, Fault)), None)

    async def _together(
        self, request: Request, known_as: Sequence[str], places: tuple[int, ...]
    ) -> tuple[tuple[int, ...], str | None]:
        """Asks for all samples at once; the places still to be asked for one by one, or why none should be."""
        answer = await self._answer(request, known_as, places)
        if isinstance(answer, int):
            return places[answer:], None
        if not answer.refused:
            return places, answer.detail
        # Maybe for its n, maybe for something else: asking for one sample tells.
        answer = await self._answer(request, known_as, places[:1])
        if isinstance(answer, Fault):
            return places, answer.detail
        self.abilities.honours_n = False
        return places[1:], None

    async def _answer(self, request: Request, known_as: Sequence[str], places: tuple[int, ...]) -> int | Fault:
        """Sends one call until something comes of it: how many samples came, or what was wrong at the last try."""
        # An endpoint that honours it does not bill a repeated request again.
        header = {"Content-Type": "application/json", "Idempotency-Key": f"{known_as[places[0]]}-{len(places)}"}
        tries = 0
        while True:
            result = await self._send(request, places, header)
            if isinstance(result, int):
                return result
            if result is None:
                continue
            if result.passing and tries < self.settings.retries:
                await self.stop.unless_called(asyncio.sleep, backoff(tries, self.random))
                tries += 1
            elif result.stop is not None:
                self.stop.call(TeacherError(result.stop))
                raise StoppedError
            else:
                return result

    async def _send(self, request: Request, places: tuple[int, ...], header: dict[str, str]) -> int | Fault | None:
        """Sends one call once: how many samples came, or what went wrong; None: send it again, written otherwise."""
        call = wire.call(self.settings, request, places)
        tokens = call.most_prompt_tokens // _BYTES_A_TOKEN + call.most_completion_tokens
        async with contextlib.AsyncExitStack() as stack:
            slot = await self.stop.unless_called(stack.enter_async_context, self.limiter.slot(tokens))
            try:
                number = await self.recorder.begin(call)
            except BudgetError as error:
                self.stop.call(error)
                raise StoppedError from None
            if self.stop.called and not isinstance(self.stop.error, BudgetError):
                # It was stopped while the books were written. At a cap it leaves: it is within the budget.
                await self.recorder.end(number, Outcome({}, failure="stopped", detail="not sent"))
                raise StoppedError
            sent = replace(self.abilities)
            data = json.dumps(wire.body(self.settings, request, len(places), sent)).encode()
            result = await self._exchange(data, header, slot)
        return await self._end(number, places, sent, result)

    async def _end(
        self, number: int, places: tuple[int, ...], sent: wire.Abilities, result: wire.Response | Fault
    ) -> int | Fault | None:
        """Keeps what came of a call, and what it taught; returns as `_send`."""
        usage = Usage()
        if isinstance(result, wire.Response):
            usage = result.usage
            if result.samples:
                learn_from_reply(result, len(places), self.abilities)
                samples = dict(zip(places, result.samples, strict=False))
                await self.recorder.end(number, Outcome(samples, usage))
                return len(samples)
            result = Fault("no choices", "the reply has no choices")
        result = learn(result, sent, len(places), self.abilities, self.settings.model)
        await self.recorder.end(number, Outcome({}, usage, result.kind, result.detail))
        return None if result.dislikes != "n" and curable(result, sent, len(places)) else result

    async def _exchange(self, data: bytes, header: dict[str, str], slot: Slot) -> wire.Response | Fault:
        """What a body brings over the network; the slot hears how the server feels."""
        pause: float | None = None
        result: wire.Response | Fault | None
        try:
            answer = await send(self.client, "POST", self.url, data=data, headers=header)
            if (left := limits(answer.headers)) is not None:
                self.limiter.note_limits(*left)
            if answer.good:
                value = answer.value()
                result = faults.of_body(value, self.endpoint) or wire.read_response(value)
            else:
                result, pause = faults.of_status(answer.status, answer.value(), self.endpoint), answer.pause
        except (aiohttp.ClientError, OSError, ValueError, RecursionError, wire.DamagedReplyError) as error:
            # The error stays off every traceback: it may hold the request with its headers.
            result = faults.of_exception(error, self.endpoint)
        if isinstance(result, wire.Response):
            slot.feels("well")
        else:
            slot.feels("pushed back" if result.kind in faults.PUSHES_BACK else "failed", pause)
            self._tell_of(pause)
        return result

    def _tell_of(self, pause: float | None) -> None:
        if pause is not None and pause > _LONG_PAUSE and not self.told_of_pause:
            self.told_of_pause = True
            say(f"Note: the teacher at {self.endpoint.url} asks to wait {pause:.0f} s; waiting.")
