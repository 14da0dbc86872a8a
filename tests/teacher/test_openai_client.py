"""The client against a server of ours: what it sends, what it makes of every fault, and what it never tells."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import openai_server
from tests.openai_server import Fault, OpenAIServer
from tests.teacher.asking import numbered, request
from tutelage.config import OpenAITeacherSettings
from tutelage.errors import TeacherError
from tutelage.teacher.ledger import Ledger, ask
from tutelage.teacher.openai_client import OpenAITeacher
from tutelage.teacher.protocol import Reply, Request, Usage

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def teacher(server: OpenAIServer, **settings: object) -> OpenAITeacher:
    given = {"kind": "openai", "model": "tiny", "base_url": server.url, "api_key_env": "TEACHER_KEY", "retries": 1}
    return OpenAITeacher(OpenAITeacherSettings.model_validate({**given, **settings}))


def answers(one: OpenAITeacher, requests: list[Request]) -> list[Reply]:
    replies = {id(asked): reply for asked, reply in one.answer(requests)}
    return [replies[id(asked)] for asked in requests]


def test_chat_asks_for_all_replies_at_once(server: OpenAIServer) -> None:
    reply = answers(teacher(server, temperature=0.7, top_p=0.8, max_new_tokens=99), [request(numbered(3), 4)])[0]
    assert len(set(reply.texts)) == 4
    assert all(text.endswith("Answer: 6") for text in reply.texts)
    assert reply.finish_reasons == ("stop",) * 4
    assert reply.usage == Usage(20, 40)
    (body,) = server.requests
    assert server.paths == ["/v1/chat/completions"]
    assert (body["n"], body["temperature"], body["top_p"], body["max_tokens"]) == (4, 0.7, 0.8, 99)
    assert body["messages"][0]["role"] == "system"
    assert "stop" not in body


def test_completion_stops_before_the_next_question(server: OpenAIServer) -> None:
    one = teacher(server, endpoint="completion")
    reply = answers(one, [request(numbered(3), 1, completion=True)])[0]
    assert reply.texts[0].endswith("Answer: 6")
    assert server.paths == ["/v1/completions"]
    assert server.requests[0]["stop"] == ["\nQuestion:"]
    assert "n" not in server.requests[0]  # some servers refuse the very name


def test_a_server_that_ignores_n_is_asked_again_and_remembered(server: OpenAIServer) -> None:
    server.ignores_n = True
    one = teacher(server, concurrency=1)
    replies = answers(one, [request(numbered(1), 3), request(numbered(2), 3)])
    assert [len(reply.texts) for reply in replies] == [3, 3]
    assert [reply.usage for reply in replies] == [Usage(60, 30)] * 2
    assert [body.get("n", 1) for body in server.requests] == [3, 1, 1, 1, 1, 1]


def test_a_server_that_refuses_n_is_asked_for_single_replies(server: OpenAIServer) -> None:
    server.always = "refuses n"
    replies = answers(teacher(server, concurrency=1), [request(numbered(1), 3), request(numbered(2), 3)])
    assert [len(reply.texts) for reply in replies] == [3, 3]
    assert [body.get("n", 1) for body in server.requests] == [3, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("param", ["n", None])
def test_n_refused_as_a_parameter_is_noticed_too(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, param: str | None
) -> None:
    message = "Unsupported value: not so many" if param else "Unsupported value: 'n' does not support 3."
    monkeypatch.setitem(openai_server._STATUS, "refuses n", (400, message, "unsupported_value"))
    send = openai_server._Handler._send

    def told(handler: openai_server._Handler, status: int, value: dict[str, Any]) -> None:
        send(handler, status, value | {"error": value["error"] | {"param": param}} if "error" in value else value)

    monkeypatch.setattr(openai_server._Handler, "_send", told)
    server.always = "refuses n"
    replies = answers(teacher(server, concurrency=1), [request(numbered(1), 3), request(numbered(2), 3)])
    assert [len(reply.texts) for reply in replies] == [3, 3]
    assert [body.get("n", 1) for body in server.requests] == [3, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Your input was flagged", "403"),
        ("openai/gpt requires moderation on OpenRouter. Your input was flagged for violence.", "403"),
        ("Not allowed", "content_policy_violation"),
        ("This goes against our Content Policy.", "forbidden"),
    ],
)
def test_a_refused_content_is_no_wrong_key(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, message: str, code: str
) -> None:
    monkeypatch.setitem(openai_server._STATUS, "forbidden", (403, message, code))
    server.faults = deque(["forbidden"])
    flagged, following = answers(teacher(server, concurrency=1), [request(numbered(1)), request(numbered(2))])
    assert flagged.error == f"HTTP 403: {message}"
    assert following.error is None


def test_a_flagged_account_stops_at_once(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(openai_server._STATUS, "forbidden", (403, "Your account was flagged.", "forbidden"))
    server.always = "forbidden"
    with pytest.raises(TeacherError, match="refuses the key"):
        answers(teacher(server), [request(numbered(1))])


@pytest.mark.parametrize("completion", [False, True])
def test_half_a_character_is_kept_as_one_that_can_be_written(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, completion: bool
) -> None:
    said = {"text": "ok \ud83d"} if completion else {"message": {"role": "assistant", "content": "ok \ud83d"}}
    monkeypatch.setattr(
        openai_server, "answered", lambda *_: {"choices": [{"index": 0, "finish_reason": "length", **said}]}
    )
    one = teacher(server, endpoint="completion" if completion else "chat")
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        for _ in range(2):
            (reply,) = ask(one, [request(numbered(1), 1, completion=completion)], ledger)
            assert reply.texts == ("ok \ufffd",)
    assert len(server.requests) == 1


def test_half_a_character_in_an_error_can_be_written(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(openai_server._STATUS, "bad request", (400, "Filtered: \ud83d", "content_filter"))
    server.always = "bad request"
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        (reply,) = ask(teacher(server), [request(numbered(1), 1)], ledger)
    assert reply.error == "HTTP 400: Filtered: \ufffd"


def test_unknown_usage_stays_unknown(server: OpenAIServer) -> None:
    server.usage = False
    assert answers(teacher(server), [request(numbered(1))])[0].usage == Usage(None, None)


def test_at_most_so_many_requests_at_once(server: OpenAIServer) -> None:
    server.delay, server.ignores_n = 0.02, True
    answers(teacher(server, concurrency=3), [request(numbered(place), 4) for place in range(6)])
    assert len(server.requests) == 24
    assert 2 <= server.most_at_once <= 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("bad request", "HTTP 400: The prompt was filtered"),
        ("no choices", "no choices"),
        ("null content", "no text .*content_filter"),
        ("not json", "not what the protocol says"),
        ("html", "no choices in '<html>"),
        ("server error", "HTTP 500"),
        ("rate limit", "HTTP 429"),
        ("reset", "connection failed"),
        ("slow", "timed out"),
    ],
)
def test_a_request_that_fails_alone_is_set_aside(server: OpenAIServer, fault: Fault, reason: str) -> None:
    server.faults = deque([fault, fault])
    one = teacher(server, concurrency=1, retries=0, timeout_seconds=0.5)
    replies = answers(one, [request(numbered(place), 1) for place in range(4)])
    assert [reply.error is None for reply in replies] == [False, False, True, True]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(replies[0].error)


@pytest.mark.parametrize("fault", ["rate limit", "server error", "reset"])
def test_what_passes_is_tried_again(server: OpenAIServer, fault: Fault) -> None:
    server.faults = deque([fault])
    assert answers(teacher(server), [request(numbered(1))])[0].error is None
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("unauthorised", "TEACHER_KEY"),
        ("forbidden", "TEACHER_KEY"),
        ("not found", r"teacher\.model"),
        ("no quota", "no money or quota"),
    ],
)
def test_what_would_fail_every_request_stops_at_once(server: OpenAIServer, fault: Fault, advice: str) -> None:
    server.always = fault
    with pytest.raises(TeacherError, match=advice) as raised:
        answers(teacher(server, concurrency=2, retries=0), [request(numbered(place)) for place in range(50)])
    assert len(server.requests) <= 4
    assert KEY not in str(raised.value)


def test_no_server_stops_at_once() -> None:
    with OpenAIServer() as gone:
        url = gone.url
    one = OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny", base_url=url, retries=0))
    with pytest.raises(TeacherError, match=r"cannot be reached.*teacher\.base_url"):
        answers(one, [request(numbered(1))])


@pytest.mark.parametrize("url", ["http://[::1", "127.0.0.1:8000/v1", "localhost:8000", "http://", "http://a\0b", "a b"])
def test_an_address_that_is_none_shows_before_anything_is_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TeacherError, match=r"is none: .*teacher\.base_url"):
        OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny", base_url=url))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://[::1")
    with pytest.raises(TeacherError, match="OPENAI_BASE_URL"):
        OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny"))


def test_what_came_before_the_stop_is_kept(server: OpenAIServer, tmp_path: Path) -> None:
    server.faults = deque(["ok", "ok", "unauthorised"])
    requests = [request(numbered(place), 1) for place in range(6)]
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        with pytest.raises(TeacherError):
            ask(teacher(server, concurrency=1), requests, ledger)
        assert ledger.totals()[1].answered == 2
        ask(teacher(server, concurrency=1), requests, ledger)
    assert len(server.requests) == 3 + 4


def test_replies_that_came_are_kept_when_the_others_fail(server: OpenAIServer) -> None:
    server.ignores_n = True
    server.faults = deque(["ok", "bad request", "ok"])
    (reply,) = answers(teacher(server, concurrency=1), [request(numbered(1), 3)])
    assert len(reply.texts) == 2
    assert reply.error is None


def test_closing_cancels_what_is_in_flight(server: OpenAIServer) -> None:
    server.faults = deque(["ok"])
    server.always = "slow"
    arrivals = iter(teacher(server, concurrency=4).answer([request(numbered(place), 1) for place in range(9)]))
    next(arrivals)
    started = time.monotonic()
    arrivals.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 1
    assert len(server.requests) <= 5
    assert not [thread for thread in threading.enumerate() if thread.name == "teacher"]


def test_it_works_inside_an_event_loop(server: OpenAIServer) -> None:
    async def cell() -> list[Reply]:
        return answers(teacher(server), [request(numbered(1))])

    assert asyncio.run(cell())[0].error is None


def test_the_service_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TeacherError, match="OPENAI_API_KEY"):
        OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny"))


def test_a_key_with_odd_characters_is_not_sent(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", f"{KEY}\n")
    assert answers(teacher(server), [request(numbered(1))])[0].error is None
    monkeypatch.setenv("TEACHER_KEY", f"“{KEY}”")
    with pytest.raises(TeacherError, match="TEACHER_KEY") as raised:
        teacher(server)
    assert KEY not in str(raised.value)


def test_the_key_shows_nowhere(server: OpenAIServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = teacher(server, retries=0)
    server.faults = deque(["bad request", "unauthorised"])
    shown = [repr(one), repr(vars(one)), str(one.identity)]
    shown += [str(reply) for reply in answers(one, [request(numbered(1), 1)])]
    server.always = "unauthorised"
    with pytest.raises(TeacherError) as raised:
        answers(one, [request(numbered(1))])
    shown += [str(raised.value), caplog.text]
    assert not [text for text in shown if KEY in text]
    assert "***" in str(raised.value)


def test_a_model_that_takes_other_parameters_stops_at_once(server: OpenAIServer) -> None:
    server.always = "other parameters"
    with pytest.raises(TeacherError, match="takes other parameters"):
        answers(teacher(server), [request(numbered(1))])


def test_the_address_does_not_change_what_is_known(server: OpenAIServer) -> None:
    assert teacher(server).identity == teacher(server, base_url="http://elsewhere/v1", retries=3).identity
    assert teacher(server).identity != teacher(server, temperature=0.5).identity
