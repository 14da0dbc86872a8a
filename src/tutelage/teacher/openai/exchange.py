"""One HTTP request and its reply, within limits of time and size, and what the reply's headers say of the load."""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from tutelage.errors import TeacherError
from tutelage.teacher.openai.keys import Endpoint
from tutelage.teacher.openai.wire import DamagedReplyError

MOST_BYTES = 32 * 2**20
"""Of a reply; the longest honest one is far from it."""
MOST_PAUSE = 3600.0
"""Seconds that a server's word is taken for, when it asks for patience."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:(?:\d+(?:\.\d+)?)(?:ms|[smhd]))+")
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; pause: seconds that a server which will take no more asks for."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def pause(self) -> float | None:
        return retry_after(self.headers, time.time())

    def value(self) -> object:
        """The parsed JSON; for a bad status the text where it is none. Raises: DamagedReplyError."""
        try:
            value: object = json.loads(self.data)
        except (ValueError, RecursionError) as error:
            text = self.data[:1000].decode("utf-8", "replace")
            if not self.good:
                return text or "(no text)"
            raise DamagedReplyError(f"no JSON ({error}) in {text[:100]!r}") from None
        return value


def session(endpoint: Endpoint) -> aiohttp.ClientSession:
    """A client for one event loop, with the key in its headers and the environment's proxy.

    Raises: TeacherError if the environment names a proxy that cannot be used.
    """
    settings = endpoint.settings
    key = endpoint.key.get_secret_value()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # the limiter counts them
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=aiohttp.ClientTimeout(
            total=settings.timeout_seconds, connect=min(settings.timeout_seconds, settings.connect_seconds)
        ),
        # Not trust_env, which looks up proxies and .netrc for each request anew.
        proxy=_proxy(URL(endpoint.url)),
    )


async def send(client: aiohttp.ClientSession, method: str, url: URL, limit: int = MOST_BYTES, **options: Any) -> Answer:
    """Sends a request and reads the whole reply, whatever its status; options: as aiohttp's `request` takes them.

    Raises: aiohttp's errors, TimeoutError, and DamagedReplyError if the reply has more bytes than `limit`.
    """
    async with client.request(method, url, allow_redirects=False, **options) as response:
        chunks: list[bytes] = []
        left = limit
        while chunk := await response.content.readany():
            left -= len(chunk)
            if left < 0:
                response.close()
                raise DamagedReplyError(f"it has more than {limit} bytes")
            chunks.append(chunk)
        return Answer(response.status, response.headers, chunks[0] if len(chunks) == 1 else b"".join(chunks))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that a reply asks to wait, None if it does not; now: seconds since 1970."""
    text = headers.get("retry-after-ms")
    if text is not None and (milliseconds := _number(text)) is not None:
        return min(milliseconds / 1000, MOST_PAUSE)
    text = headers.get("Retry-After")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is None:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MOST_PAUSE)


def limits(headers: Mapping[str, str]) -> tuple[int | None, float | None, int | None, float | None] | None:
    """What remains of the account's requests and tokens, each with the seconds until its reset.

    In the order of `Limiter.note_limits`; None if the reply tells neither.
    """
    requests, tokens = headers.get("x-ratelimit-remaining-requests"), headers.get("x-ratelimit-remaining-tokens")
    if requests is None and tokens is None:
        return None
    return (
        _whole(requests),
        _seconds(headers.get("x-ratelimit-reset-requests")),
        _whole(tokens),
        _seconds(headers.get("x-ratelimit-reset-tokens")),
    )


def _seconds(text: str | None) -> float | None:
    """A span of time such as "6m0s", "20ms" or plain seconds; None if it is none."""
    if text is None:
        return None
    seconds = _number(text)
    if seconds is None and _SPAN.fullmatch(text.strip()):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _SPAN_PART.findall(text))
    return None if seconds is None else min(seconds, MOST_PAUSE)


def _number(text: str) -> float | None:
    """A number of seconds, not negative; None if it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _whole(text: str | None) -> int | None:
    number = None if text is None else _number(text)
    return None if number is None else int(number)


def _proxy(url: URL) -> URL | None:
    proxies = getproxies()
    text = proxies.get(url.scheme) or proxies.get("all")
    if not text or proxy_bypass(url.host or ""):
        return None
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise TeacherError(
            f"The environment names a proxy of the kind {proxy.scheme or 'unknown'!r} for {url.scheme} addresses; only "
            "http and https ones can be used. Mend it, or name the teacher's host in NO_PROXY."
        )
    return proxy
