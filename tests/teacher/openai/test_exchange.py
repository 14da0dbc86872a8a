"""Headers that speak of the load, proxies, and replies of any size."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from yarl import URL

from tests.openai_server import OpenAIServer
from tutelage.config import OpenAITeacherSettings
from tutelage.errors import TeacherError
from tutelage.teacher.openai import exchange
from tutelage.teacher.openai.exchange import Answer, limits, retry_after
from tutelage.teacher.openai.keys import Endpoint
from tutelage.teacher.openai.wire import DamagedReplyError

NOW = 1_700_000_000.0
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def endpoint(url: str) -> Endpoint:
    return Endpoint(OpenAITeacherSettings(kind="openai", model="tiny"), url, SecretStr("key"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": email.utils.formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"Retry-After": email.utils.formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"Retry-After": "7", "retry-after-ms": "20"}, 0.02),
        ({"Retry-After": "7", "retry-after-ms": "soon"}, 7.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "1e300"}, exchange.MOST_PAUSE),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h0m2.5s", 3600.0), ("4", 4.0), ("0.25", 0.25),
        ("soon", None), ("", None), ("m1s", None),
    ],
)  # fmt: skip
def test_what_remains_of_the_account(reset: str, seconds: float | None) -> None:
    headers = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": reset}
    assert limits(headers) == (3, seconds, None, None)
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": reset}
    assert limits(headers) == (None, None, 0, seconds)


def test_a_reply_that_tells_no_limits() -> None:
    assert limits({"x-ratelimit-reset-tokens": "1s"}) is None


@given(st.text(), st.text(), st.text())
def test_no_header_breaks_the_reading(one: str, two: str, three: str) -> None:
    names = ("Retry-After", "retry-after-ms", *(f"x-ratelimit-{a}-tokens" for a in ("remaining", "reset")))
    headers = dict(zip(names, (one, two, three, one), strict=True))
    assert (retry_after(headers, NOW) or 0.0) >= 0
    assert limits(headers) is not None


@pytest.mark.parametrize("data", [b"", b'{"a": [', b"<html>", b"\xff\xfe{", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_json_is_damaged_or_a_text(data: bytes) -> None:
    with pytest.raises(DamagedReplyError, match="no JSON"):
        Answer(200, {}, data).value()
    assert isinstance(Answer(500, {}, data).value(), str)


def test_a_reply_without_end_is_given_up(server: OpenAIServer) -> None:
    server.always = "huge"

    async def read(limit: int) -> int:
        async with exchange.session(endpoint(server.url)) as client:
            url = URL(f"{server.url}/chat/completions")
            return len((await exchange.send(client, "POST", url, limit, json={"model": "tiny"})).data)

    assert asyncio.run(read(2**21)) == 2**20 + 2
    with pytest.raises(DamagedReplyError, match="more than 65536 bytes"):
        asyncio.run(read(2**16))


def test_the_environments_proxy_is_used_but_for_what_it_leaves_out(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")

    async def paths(url: str) -> list[str]:
        async with exchange.session(endpoint(url)) as client:
            await exchange.send(client, "POST", URL(url), json={"model": "tiny", "messages": [{"content": "a"}]})
        return server.paths

    assert asyncio.run(paths("http://teacher.invalid/v1")) == ["http://teacher.invalid/v1"]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert asyncio.run(paths(server.url))[1:] == ["/v1"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://"])
def test_a_proxy_that_cannot_be_used(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)

    async def opened() -> None:
        async with exchange.session(endpoint("https://teacher.invalid/v1")):
            pass

    with pytest.raises(TeacherError, match="NO_PROXY"):
        asyncio.run(opened())
