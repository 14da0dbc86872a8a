"""OpenAI's batch API over HTTP (https://platform.openai.com/docs/guides/batch): files in, batches, files out.

What fails in passing is tried again. A batch bears a mark of ours in its metadata, by which it is found when the
reply that would have told its id was lost.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from random import Random
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from tutelage.errors import TeacherError
from tutelage.teacher.batches.state import MARK, State, read_id, read_mark, read_state, says_too_much
from tutelage.teacher.openai import faults, wire
from tutelage.teacher.openai.exchange import Answer, send
from tutelage.teacher.openai.faults import Fault
from tutelage.teacher.openai.keys import Endpoint
from tutelage.teacher.openai.limiter import backoff
from tutelage.teacher.openai.wire import DamagedReplyError

Result = TypeVar("Result")

_PAGE = 100
_FILE_SECONDS = 3600.0
"""What a file of a hundred megabytes may take on a slow line."""
_MOST_BYTES_A_LINE = 64 * 2**20
_CALMLY = 5
"""Doublings of the wait between two tries while a batch is under way: it has all day, and a minute without the server
ends nothing."""


class TooMuchError(Exception):
    """A batch is larger than the endpoint takes, or than it takes now; the message says so in its words."""


class GoneError(Exception):
    """The endpoint does not know a batch or a file."""


class NoBatchesError(TeacherError):
    """The endpoint has no batch API."""


class _FaultError(Exception):
    def __init__(self, fault: Fault, pause: float | None = None) -> None:
        super().__init__(fault.detail)
        self.fault, self.pause = fault, pause


class BatchApi:
    """The calls that handing in a batch takes. pause: waits so many seconds.

    All raise TeacherError for what every further request would meet, or once all tries have failed; NoBatchesError.
    """

    def __init__(
        self, endpoint: Endpoint, client: aiohttp.ClientSession, pause: Callable[[float], Awaitable[None]]
    ) -> None:
        self._endpoint, self._client, self._pause = endpoint, client, pause
        self._random = Random()  # noqa: S311
        settings = endpoint.settings
        self._slowly = aiohttp.ClientTimeout(
            total=settings.timeout_seconds + _FILE_SECONDS,
            connect=settings.connect_seconds,
            sock_read=settings.timeout_seconds,
        )

    async def upload(self, lines: bytes) -> str:
        """Sends a batch's lines, JSONL; the file's id. Raises: TooMuchError."""

        async def once() -> str:
            form = aiohttp.FormData()
            form.add_field("purpose", "batch")
            form.add_field("file", io.BytesIO(lines), filename="batch.jsonl", content_type="application/jsonl")
            with self._faults():
                return read_id(await self._send("POST", "/files", data=form, timeout=self._slowly))

        return await self._patiently(once)

    async def create(self, file: str, mark: str) -> str:
        """Hands in a batch of an uploaded file's lines; its id. Raises: TooMuchError."""
        value = {
            "input_file_id": file,
            "endpoint": "/v1" + wire.path(self._endpoint.settings),
            "completion_window": "24h",
            "metadata": {MARK: mark},
        }
        headers = {"Content-Type": "application/json", "Idempotency-Key": mark}
        data = json.dumps(value).encode()
        tried = False

        async def once() -> str:
            nonlocal tried
            if tried and (found := await self.find(mark)) is not None:
                return found  # the reply was lost, the batch was not
            tried = True
            with self._faults():
                return read_id(await self._send("POST", "/batches", data=data, headers=headers))

        return await self._patiently(once)

    async def state(self, batch: str) -> State:
        """Raises: GoneError."""

        async def once() -> State:
            with self._faults():
                return read_state(await self._send("GET", f"/batches/{batch}"))

        return await self._patiently(once, _CALMLY)

    async def cancel(self, batch: str) -> None:
        """Asks to end a batch; what it has done by then stays. One that has ended already is left alone."""

        async def once() -> None:
            with self._faults(), contextlib.suppress(GoneError):
                try:
                    await self._send("POST", f"/batches/{batch}/cancel")
                except _FaultError:
                    state = await self.state(batch)
                    if not state.ended and state.status != "cancelling":
                        raise

        await self._patiently(once)

    async def find(self, mark: str) -> str | None:
        """The id of the batch that bears a mark, among all that the account has; None if there is none."""
        after: str | None = None
        while True:
            marks, more = await self._page(after)
            found = next((batch for batch, theirs in marks.items() if theirs == mark), None)
            last = next(reversed(marks), None)
            if found is not None or not more or last is None or last == after:
                return found
            after = last

    async def check(self) -> None:
        """Raises: NoBatchesError if the endpoint cannot even list batches."""
        await self._page(None)

    async def read(self, file: str, take: Callable[[bytes], None]) -> None:
        """Gives each line of a file to `take`; again from its start if that fails midway, or if the file is unknown,
        as a new one may be for a moment. Raises: GoneError.
        """

        async def once() -> None:
            url = self._endpoint.at(f"/files/{file}/content")
            with self._faults():
                async with self._client.get(url, allow_redirects=False, timeout=self._slowly) as response:
                    if not 200 <= response.status < 300:
                        start = await response.content.read(65536)
                        raise self._refusal(Answer(response.status, response.headers, start), url.path, one=True)
                    await _lines(response.content, take)

        for tries in range(self._endpoint.settings.retries + 1):
            if tries:
                await self._pause(backoff(tries, self._random))
            with contextlib.suppress(GoneError):
                return await self._patiently(once, _CALMLY)
        raise GoneError(f"the endpoint does not know the file {file}")

    async def _page(self, after: str | None) -> tuple[dict[str, object], bool]:
        """The marks of the batches behind `after`, by their ids, and whether there are more."""

        async def once() -> tuple[dict[str, object], bool]:
            query = {"limit": str(_PAGE)} | ({} if after is None else {"after": after})
            with self._faults():
                value = await self._send("GET", "/batches", query)
                batches = value.get("data")
                if not isinstance(batches, list):
                    raise DamagedReplyError(f"no list of batches in {str(value)[:100]!r}")
                return {read_id(one): read_mark(one) for one in batches}, value.get("has_more") is True

        return await self._patiently(once)

    async def _send(
        self, method: str, path: str, query: Mapping[str, str] | None = None, **options: Any
    ) -> dict[str, Any]:
        url: URL = self._endpoint.at(path).update_query(query or {})
        answer = await send(self._client, method, url, **options)
        if not answer.good:
            one = path.count("/") > 1
            raise self._refusal(answer, path, one, hands_in=method == "POST" and not one)
        value = answer.value()
        if fault := faults.of_body(value, self._endpoint):
            raise _FaultError(fault)
        if not isinstance(value, dict):
            raise DamagedReplyError(f"no object in {str(value)[:100]!r}")
        return value

    def _refusal(self, answer: Answer, path: str, one: bool, hands_in: bool = False) -> Exception:
        """What a bad status means; one: the address is that of one batch or one file."""
        value = answer.value()
        fault = faults.of_status(answer.status, value, self._endpoint)
        if hands_in and 400 <= answer.status < 500 and says_too_much(json.dumps(value), answer.status):
            return TooMuchError(fault.detail)
        if answer.status == 404 and one:
            return GoneError(fault.detail)
        if answer.status in (404, 405, 501):
            return NoBatchesError(
                f"The teacher at {self._endpoint.url} has no batch API at {path} ({fault.detail}). "
                'Set teacher.road to "direct", or mend teacher.base_url (it mostly ends in /v1).'
            )
        return _FaultError(fault, answer.pause)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientError, OSError, ValueError, RecursionError, DamagedReplyError) as error:
            # The error stays off every traceback: it may hold the request with its headers.
            raise _FaultError(faults.of_exception(error, self._endpoint)) from None

    async def _patiently(self, once: Callable[[], Awaitable[Result]], doublings: int = 0) -> Result:
        tries = 0
        while True:
            try:
                return await once()
            except _FaultError as error:
                fault, pause = error.fault, error.pause
            if not fault.passing or tries >= self._endpoint.settings.retries:
                raise TeacherError(
                    fault.stop
                    or f"The teacher's batch API at {self._endpoint.url} fails ({fault.detail}). "
                    "What came and what is handed in is kept; `tutelage resume` goes on with it."
                )
            await self._pause(max(pause or 0.0, backoff(doublings + tries, self._random)))
            tries += 1


async def _lines(content: aiohttp.StreamReader, take: Callable[[bytes], None]) -> None:
    parts: list[bytes] = []
    held = 0
    while chunk := await content.readany():
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            take(b"".join((*parts, line)))
            parts, held = [], 0
        parts.append(rest)
        held += len(rest)
        if held > _MOST_BYTES_A_LINE:
            raise DamagedReplyError(f"a line has more than {_MOST_BYTES_A_LINE} bytes")
    take(b"".join(parts))
