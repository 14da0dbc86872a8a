"""A teacher behind any OpenAI-compatible endpoint, through the `openai` package's async client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import openai
from pydantic import SecretStr

from tutelage.config import OpenAITeacherSettings
from tutelage.errors import TeacherError
from tutelage.prompts import STOP
from tutelage.records import Message
from tutelage.teacher.openai_errors import RequestFailedError, explain
from tutelage.teacher.protocol import Reply, Request, Usage, clean_text
from tutelage.teacher.stream import stream

SERVICE = "https://api.openai.com/v1"
CONNECT_SECONDS = 10.0
"""How long a server may take to accept a connection; a reply may take `timeout_seconds`."""
_COUNTS = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class _Choice:
    text: str | None
    finish_reason: str


@dataclass(frozen=True, slots=True)
class _Response:
    """What one HTTP request brought."""

    choices: tuple[_Choice, ...]
    usage: Usage


class OpenAITeacher:
    """Any OpenAI-compatible endpoint as a teacher, chat or completion.

    An endpoint that ignores or refuses `n` is noticed at its first reply; from then on each text is asked for alone.
    The key comes from the environment variable that the settings name; local servers do without.
    Raises: TeacherError if the address is none, or the OpenAI service is meant and there is no key.
    """

    def __init__(self, settings: OpenAITeacherSettings) -> None:
        self._settings = settings
        self._url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or SERVICE
        _check_address(self._url)
        self._key = _key(settings, self._url)
        self._honours_n = True

    @property
    def name(self) -> str:
        return self._settings.model

    @property
    def identity(self) -> dict[str, object]:
        # Not the address: the same model behind another port replies the same.
        names = ("kind", "model", "endpoint", "temperature", "top_p", "max_new_tokens")
        return {name: getattr(self._settings, name) for name in names}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        """Yields each request with its reply as it arrives. Closing the iterator cancels what is in flight.

        Raises: TeacherError on a wrong key, an unknown model, an account without quota, or no server; what was
        in flight then is waited for and yielded first, since it may be paid for.
        """
        return stream(lambda deliver: self._answer_all(requests, lambda *pair: deliver(pair)))

    async def _answer_all(self, requests: Sequence[Request], deliver: Callable[[Request, Reply], None]) -> None:
        pending = iter(requests)
        slots = asyncio.Semaphore(self._settings.concurrency)
        stops: list[TeacherError] = []

        async def work(client: openai.AsyncOpenAI) -> None:
            while not stops and (request := next(pending, None)) is not None:
                reply, stop = await self._answer_one(client, slots, request)
                if stop is not None:
                    stops.append(stop)
                if stop is None or reply.texts:
                    deliver(request, reply)

        async with self._client() as client:
            await asyncio.gather(*(work(client) for _ in range(min(self._settings.concurrency, len(requests)))))
        if stops:
            raise stops[0]

    def _client(self) -> openai.AsyncOpenAI:
        seconds = self._settings.timeout_seconds
        return openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._key.get_secret_value() or "none",  # the SDK insists on one; local servers ignore it
            max_retries=self._settings.retries,
            timeout=openai.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
        )

    async def _answer_one(
        self, client: openai.AsyncOpenAI, slots: asyncio.Semaphore, request: Request
    ) -> tuple[Reply, TeacherError | None]:
        """The reply, put together from as many HTTP requests as it took, and why to stop if that came up."""
        responses: list[_Response] = []
        problems: list[RequestFailedError | TeacherError] = []

        async def send(replies: int) -> None:
            try:
                async with slots:
                    responses.append(await self._send(client, request, replies))
            except (RequestFailedError, TeacherError) as problem:
                problems.append(problem)

        if request.replies > 1 and self._honours_n:
            await send(request.replies)
            if responses and 0 < len(responses[0].choices) < request.replies:
                self._honours_n = False
            elif problems and isinstance(problems[0], RequestFailedError) and problems[0].refused:
                # Maybe for its n, maybe for its content: asking for one text tells.
                await send(1)
                if responses:
                    self._honours_n = False
                    problems.clear()
        if not self._honours_n or request.replies == 1:
            missing = request.replies - sum(len(response.choices) for response in responses)
            await asyncio.gather(*(send(1) for _ in range(missing)))
        stop = next((problem for problem in problems if isinstance(problem, TeacherError)), None)
        return _reply(request, responses, problems), stop

    async def _send(self, client: openai.AsyncOpenAI, request: Request, replies: int) -> _Response:
        try:
            if isinstance(request.prompt, str):
                return _response(await self._complete(client, request.prompt, replies))
            return _response(await self._chat(client, request.prompt, replies))
        except (openai.OpenAIError, ValueError) as error:
            # The original error stays off the traceback: it holds the request with its headers.
            raise explain(error, self._settings, self._url, self._key.get_secret_value()) from None

    async def _chat(self, client: openai.AsyncOpenAI, messages: Sequence[Message], replies: int) -> object:
        return await client.chat.completions.create(
            model=self._settings.model,
            messages=cast(Any, [asdict(message) for message in messages]),
            temperature=self._settings.temperature,
            top_p=self._settings.top_p,
            max_tokens=self._settings.max_new_tokens,
            n=replies if replies > 1 else openai.omit,
        )

    async def _complete(self, client: openai.AsyncOpenAI, prompt: str, replies: int) -> object:
        return await client.completions.create(
            model=self._settings.model,
            prompt=prompt,
            temperature=self._settings.temperature,
            top_p=self._settings.top_p,
            max_tokens=self._settings.max_new_tokens,
            n=replies if replies > 1 else openai.omit,
            stop=list(STOP),
        )


def _check_address(url: str) -> None:
    """Raises: TeacherError if no request could be sent there; said now, and not after hours of exam."""
    try:
        address = openai.AsyncOpenAI(base_url=url, api_key="none").base_url
    except Exception as error:  # InvalidURL is a plain Exception, of a module that depends on the SDK's version
        reason = str(error)
    else:
        if address.scheme in ("http", "https") and address.host:
            return
        reason = "it needs http:// or https:// and a host"
    raise TeacherError(
        f"The teacher's address {url!r} is none: {reason}. "
        "Mend teacher.base_url (or OPENAI_BASE_URL), such as http://127.0.0.1:8000/v1."
    )


def _key(settings: OpenAITeacherSettings, url: str) -> SecretStr:
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key and url.rstrip("/") == SERVICE:
        raise TeacherError(
            f"The OpenAI service needs a key, and the environment variable {settings.api_key_env} holds none. Set it; "
            "or name another server with teacher.base_url, or another variable with teacher.api_key_env."
        )
    if not (key.isascii() and key.isprintable()):
        raise TeacherError(
            f"The environment variable {settings.api_key_env} holds characters that no key has. Copy the key again."
        )
    return SecretStr(key)


def _response(response: object) -> _Response:
    """Reads a reply field by field: the SDK hands on whatever the server sent, an HTML page as a string included.

    Raises: ValueError if there is no list of choices in it.
    """
    choices = getattr(response, "choices", None)
    if not isinstance(choices, list):
        raise ValueError(f"no choices in {str(response)[:100]!r}")
    usage = getattr(response, "usage", None)
    return _Response(tuple(_choice(choice) for choice in choices), Usage(*(_count(usage, name) for name in _COUNTS)))


def _choice(choice: object) -> _Choice:
    message = getattr(choice, "message", None)
    text = getattr(choice, "text", None) if message is None else getattr(message, "content", None)
    reason = getattr(choice, "finish_reason", None)
    told = clean_text(text) if isinstance(text, str) and text.strip() else None
    return _Choice(told, clean_text(str(reason or "")))


def _count(usage: object, name: str) -> int | None:
    count = getattr(usage, name, None)
    return count if isinstance(count, int) else None


def _reply(request: Request, responses: Sequence[_Response], problems: Sequence[Exception]) -> Reply:
    choices = [choice for response in responses for choice in response.choices]
    usage = Usage(*(_sum(getattr(response.usage, name) for response in responses) for name in _COUNTS))
    told = [(choice.text, choice.finish_reason) for choice in choices if choice.text is not None][: request.replies]
    if told:
        return Reply(tuple(text for text, _ in told), tuple(reason for _, reason in told), usage)
    if problems:
        return Reply((), usage=usage, error=str(problems[0]))
    reasons = ", ".join(sorted({choice.finish_reason for choice in choices if choice.finish_reason}))
    empty = f"the reply has no text (finish reason: {reasons or 'none'})" if choices else "the reply has no choices"
    return Reply((), usage=usage, error=empty)


def _sum(counts: Iterable[int | None]) -> int | None:
    total = None
    for count in counts:
        if count is None:
            return None
        total = (total or 0) + count
    return total
