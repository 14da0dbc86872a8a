"""The client against a server of ours: what it sends, what it makes of every fault, and what it never tells."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import openai_server
from tests.openai_server import Fault, OpenAIServer
from tests.teacher.asking import Notes, converse, numbered, request
from tutelage.config import OpenAITeacherSettings
from tutelage.errors import BudgetError, TeacherError
from tutelage.teacher.openai import client as openai_client
from tutelage.teacher.openai.client import OpenAITeacher
from tutelage.teacher.protocol import Call, FailureKind, Outcome, Request, Usage, Wanted, sample_keys

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr(openai_client, "backoff", lambda *_: 0.001)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def teacher(server: OpenAIServer, **settings: object) -> OpenAITeacher:
    given = {"kind": "openai", "model": "tiny", "base_url": server.url, "api_key_env": "TEACHER_KEY", "retries": 1}
    return OpenAITeacher(OpenAITeacherSettings.model_validate({**given, **settings}))


def some(number: int, replies: int = 1) -> list[Request]:
    return [request(numbered(place), replies) for place in range(number)]


def texts(notes: Notes, asked: Request) -> list[str]:
    return [one.text for one in notes.samples(asked) if one.text is not None]


def test_chat_asks_for_all_replies_at_once(server: OpenAIServer) -> None:
    asked = request(numbered(3), 4)
    notes = converse(teacher(server, temperature=0.7, top_p=0.8, max_new_tokens=99), [asked])
    assert len(set(texts(notes, asked))) == 4
    assert all(text.endswith("Answer: 6") for text in texts(notes, asked))
    assert {(one.kind, one.finish_reason) for one in notes.samples(asked)} == {("text", "stop")}
    assert [outcome.usage for outcome in notes.ended.values()] == [Usage(20, 40)]
    assert notes.reasons == {"own/3": None}
    (body,) = server.requests
    assert server.paths == ["/v1/chat/completions"]
    assert (body["n"], body["temperature"], body["top_p"], body["max_tokens"]) == (4, 0.7, 0.8, 99)
    assert body["messages"][0]["role"] == "system"
    assert "stop" not in body
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_completion_stops_before_the_next_question(server: OpenAIServer) -> None:
    asked = request(numbered(3), 1, completion=True)
    assert texts(converse(teacher(server, endpoint="completion"), [asked]), asked)[0].endswith("Answer: 6")
    assert server.paths == ["/v1/completions"]
    assert server.requests[0]["stop"] == ["\nQuestion:"]
    assert "n" not in server.requests[0]  # some servers refuse the very name


def test_only_the_places_that_are_wanted_are_asked_for(server: OpenAIServer) -> None:
    asked, notes = request(numbered(3), 4), Notes()
    wanted: list[Wanted] = [(asked, (1, 3))]
    asyncio.run(teacher(server).converse(wanted, notes, notes.settled))
    assert [(call.places, call.most_completion_tokens) for call in notes.begun] == [((1, 3), 256)]
    assert set(notes.ended[0].samples) == {1, 3}
    assert server.requests[0]["n"] == 2


def test_a_server_that_ignores_n_is_asked_again_and_remembered(server: OpenAIServer) -> None:
    server.ignores_n = True
    one, asked = teacher(server, concurrency=1), [request(numbered(1), 3), request(numbered(2), 3)]
    notes = converse(one, asked)
    assert [len(texts(notes, each)) for each in asked] == [3, 3]
    assert [body.get("n", 1) for body in server.requests] == [3, 1, 1, 1, 1, 1]
    assert [call.places for call in notes.begun] == [(0, 1, 2), (1,), (2,), (0,), (1,), (2,)]
    converse(one, [request(numbered(3), 2)])
    assert [body.get("n", 1) for body in server.requests[6:]] == [1, 1]


def test_a_server_that_refuses_n_is_asked_for_single_replies(server: OpenAIServer) -> None:
    server.always = "refuses n"
    asked = [request(numbered(1), 3), request(numbered(2), 3)]
    notes = converse(teacher(server, concurrency=1), asked)
    assert [len(texts(notes, each)) for each in asked] == [3, 3]
    assert [body.get("n", 1) for body in server.requests] == [3, 1, 1, 1, 1, 1, 1]
    assert notes.failures == ["bad request", *[None] * 6]


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
    asked = [request(numbered(1), 3), request(numbered(2), 3)]
    notes = converse(teacher(server, concurrency=1), asked)
    assert [len(texts(notes, each)) for each in asked] == [3, 3]
    assert [body.get("n", 1) for body in server.requests] == [3, 1, 1, 1, 1, 1, 1]
    assert notes.failures == ["bad request", *[None] * 6]


def test_a_request_refused_for_something_else_does_not_count_against_n(server: OpenAIServer) -> None:
    server.faults = deque(["refuses n", "forbidden"])
    refused, following = request(numbered(1), 3), request(numbered(2), 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(openai_server._STATUS, "forbidden", (400, "No", "no"))
        notes = converse(teacher(server, concurrency=1), [refused, following])
    assert notes.reasons == {"own/1": "HTTP 400: No", "own/2": None}
    assert [body.get("n", 1) for body in server.requests] == [3, 1, 3]


def test_no_choices_are_no_sign_of_an_ignored_n(server: OpenAIServer) -> None:
    server.faults = deque(["no choices"])
    asked = request(numbered(1), 3)
    notes = converse(teacher(server), [asked])
    assert notes.failures == ["no choices", None]
    assert notes.ended[0].usage == Usage(20, 0)  # said, and maybe paid
    assert [body["n"] for body in server.requests] == [3, 3]


def test_a_choice_that_a_provider_broke_down_in_is_no_sign_of_an_ignored_n(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, broken = openai_server.answered, {"message": {"content": None}, "finish_reason": "error"}

    def answered(body: dict[str, Any], *more: Any) -> dict[str, Any]:
        reply = good(body, *more)
        if len(server.requests) == 1:
            reply["choices"][1] = broken
        return reply

    monkeypatch.setattr(openai_server, "answered", answered)
    notes = converse(teacher(server, concurrency=1), some(2, 3))
    assert [call.places for call in notes.begun] == [(0, 1, 2), (2,), (0, 1, 2)]


def test_more_choices_than_asked_for_are_left_out(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    good = openai_server.answered({"model": "tiny", "messages": [{"content": "a"}], "n": 5})
    monkeypatch.setattr(openai_server, "answered", lambda *_: good)
    assert len(converse(teacher(server), [request(numbered(1), 2)]).ended[0].samples) == 2


def test_a_reasoning_model_is_asked_in_its_own_words(server: OpenAIServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.faults = deque(["refuses max_tokens", "refuses temperature"])
    one = teacher(server, concurrency=1, retries=0, max_new_tokens=100, thinking_tokens=900)
    notes = converse(one, some(2))
    assert notes.failures == ["bad request", "bad request", None, None]
    assert {body.get("max_completion_tokens", body.get("max_tokens")) for body in server.requests} == {1000}
    assert ["max_tokens" in body for body in server.requests] == [True, False, False, False]
    assert ["temperature" in body for body in server.requests] == [True, True, False, False]
    assert capsys.readouterr().err.count("takes no temperature") == 1


def test_what_was_on_its_way_when_it_was_learned_is_sent_again(server: OpenAIServer) -> None:
    server.delay, server.always = 0.02, "refuses max_tokens"
    notes = converse(teacher(server, concurrency=4), some(4))
    assert set(notes.reasons.values()) == {None}
    assert notes.failures.count("bad request") == 4


def test_a_model_that_takes_other_parameters_stops_at_once(server: OpenAIServer) -> None:
    server.always, notes = "other parameters", Notes()
    with pytest.raises(TeacherError, match="takes other parameters"):
        converse(teacher(server), [request(numbered(1))], notes)
    assert notes.failures == ["bad request", "stopped"]  # without max_tokens, too
    assert notes.reasons == {}


def test_a_refused_content_is_set_aside(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(openai_server._STATUS, "forbidden", (403, "Your input was flagged", "403"))
    server.faults = deque(["forbidden"])
    notes = converse(teacher(server, concurrency=1), some(2, 2))
    assert notes.reasons == {"own/0": "HTTP 403: Your input was flagged", "own/1": None}
    assert len(server.requests) == 2


@pytest.mark.parametrize("completion", [False, True])
def test_half_a_character_is_kept_as_one_that_can_be_written(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, completion: bool
) -> None:
    said = {"text": "ok \ud83d"} if completion else {"message": {"role": "assistant", "content": "ok \ud83d"}}
    monkeypatch.setattr(
        openai_server, "answered", lambda *_: {"choices": [{"index": 0, "finish_reason": "length", **said}]}
    )
    asked = request(numbered(1), 1, completion=completion)
    notes = converse(teacher(server, endpoint="completion" if completion else "chat"), [asked])
    assert [(one.kind, one.text) for one in notes.samples(asked)] == [("cut", "ok \ufffd")]


def test_half_a_character_in_an_error_can_be_written(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(openai_server._STATUS, "bad request", (400, "Filtered: \ud83d", "content_filter"))
    server.always = "bad request"
    assert converse(teacher(server), some(1)).reasons == {"own/0": "HTTP 400: Filtered: \ufffd"}


@pytest.mark.parametrize(("fault", "kind"), [("null content", "empty"), ("refusal", "refused"), ("cut", "cut")])
def test_what_is_no_plain_text_was_answered_all_the_same(server: OpenAIServer, fault: Fault, kind: str) -> None:
    server.always, asked = fault, request(numbered(1), 2)
    notes = converse(teacher(server), [asked])
    assert [one.kind for one in notes.samples(asked)] == [kind, kind]
    assert notes.reasons == {"own/1": None}
    assert len(server.requests) == 1


def test_unknown_usage_stays_unknown(server: OpenAIServer) -> None:
    server.usage = False
    assert converse(teacher(server), some(1)).ended[0].usage == Usage(None, None)


def test_at_most_so_many_requests_at_once(server: OpenAIServer) -> None:
    server.delay, server.ignores_n = 0.02, True
    converse(teacher(server, concurrency=3), some(6, 4))
    assert len(server.requests) == 24
    assert 2 <= server.most_at_once <= 3


def test_requests_are_taken_as_they_are_sent(server: OpenAIServer) -> None:
    taken: list[int] = []
    ahead: list[int] = []
    notes = Notes()

    def wanted() -> Iterator[Wanted]:
        for place, one in enumerate(some(40)):
            taken.append(place)
            ahead.append(len(taken) - len(notes.reasons))
            yield one, (0,)

    asyncio.run(teacher(server, concurrency=4).converse(wanted(), notes, notes.settled))
    assert len(notes.reasons) == 40
    assert max(ahead) <= 4


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ("bad request", "bad request", "HTTP 400: The prompt was filtered"),
        ("no choices", "no choices", "no choices"),
        ("not json", "damaged reply", "not what the protocol says: no JSON"),
        ("html", "damaged reply", "'<html>Welcome</html>'"),
        ("huge", "damaged reply", "no choices in 'xxx"),
        ("server error", "server error", "HTTP 500"),
        ("overloaded", "overloaded", "HTTP 503"),
        ("rate limit", "rate limit", "HTTP 429"),
        ("reset", "broken connection", "connection failed"),
        ("truncated", "broken connection", "connection failed"),
        ("slow", "timed out", "timed out"),
        ("drip", "timed out", "timed out"),
    ],
)
def test_a_request_that_fails_alone_is_set_aside(
    server: OpenAIServer, fault: Fault, kind: FailureKind, reason: str
) -> None:
    server.faults = deque([fault, fault])
    notes = converse(teacher(server, concurrency=1, retries=0, timeout_seconds=0.3), some(4))
    assert notes.failures == [kind, kind, None, None]
    assert [notes.reasons[f"own/{place}"] is None for place in range(4)] == [False, False, True, True]
    assert reason in str(notes.reasons["own/0"])
    assert notes.ended[0].detail == notes.reasons["own/0"]


@pytest.mark.parametrize(
    "fault",
    ["rate limit", "overloaded", "server error", "reset", "truncated", "not json", "html", "no choices", "slow"],
)
def test_what_passes_is_tried_again(server: OpenAIServer, fault: Fault) -> None:
    server.faults, asked = deque([fault, fault]), request(numbered(1), 2)
    one = teacher(server, retries=2, timeout_seconds=0.3)
    notes = converse(one, [asked])
    assert notes.reasons == {"own/1": None}
    assert len(notes.samples(asked)) == 2
    assert len(server.requests) == 3
    # One and the same for an endpoint that does not bill it twice.
    key = f"{sample_keys(one, asked)[0]}-2"
    assert {headers["Idempotency-Key"] for headers in server.headers} == {key}


def test_a_server_that_asks_for_patience_gets_it(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(openai_server._STATUS, "overloaded", (503, "Come back later", "overloaded"))
    server.said, server.faults = {"Retry-After": "0.3"}, deque(["overloaded"])
    started = time.monotonic()
    notes = converse(teacher(server, concurrency=1), some(2))
    assert time.monotonic() - started >= 0.3
    assert notes.failures == ["overloaded", None, None]


def test_an_account_with_nothing_left_waits_for_its_reset(server: OpenAIServer) -> None:
    server.said = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"}
    started = time.monotonic()
    assert converse(teacher(server, concurrency=1), some(3)).failures == [None] * 3
    assert time.monotonic() - started >= 0.24


def test_a_long_pause_is_told_of(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.said, server.faults = {"Retry-After": "900"}, deque(["overloaded"])

    async def cell() -> None:
        notes = Notes()
        await asyncio.wait_for(teacher(server).converse([(some(1)[0], (0,))], notes, notes.settled), 0.3)

    with pytest.raises(TimeoutError):
        asyncio.run(cell())
    assert "asks to wait 900 s" in capsys.readouterr().err
    assert len(server.requests) == 1


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
    server.always, notes = fault, Notes()
    with pytest.raises(TeacherError, match=advice) as raised:
        converse(teacher(server, concurrency=2, retries=5), some(50), notes)
    assert len(server.requests) <= 4
    assert set(notes.failures) == {"stopped"}
    assert notes.reasons == {}
    assert KEY not in str(raised.value)


def test_what_is_in_flight_at_a_stop_is_waited_for(server: OpenAIServer) -> None:
    server.slow, server.faults, notes = 0.3, deque(["slow", "slow", "unauthorised"]), Notes()
    with pytest.raises(TeacherError):
        converse(teacher(server, concurrency=3), some(9, 2), notes)
    assert sorted(map(str, notes.failures)) == ["None", "None", "stopped"]
    assert set(notes.reasons.values()) == {None}
    assert len(server.requests) == 3


def test_nobody_waits_for_a_pause_or_a_retry_once_it_is_stopped(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_client, "backoff", lambda *_: 30.0)
    server.faults, server.always = deque(["overloaded", "overloaded", "overloaded"]), "unauthorised"
    server.delay = 0.02
    started = time.monotonic()
    with pytest.raises(TeacherError, match="refuses the key"):
        converse(teacher(server, concurrency=4), some(9))
    assert time.monotonic() - started < 2


def test_a_cap_that_is_reached_ends_the_conversation(server: OpenAIServer) -> None:
    server.delay, notes = 0.02, Notes(most=5)
    with pytest.raises(BudgetError, match="the cap is reached"):
        converse(teacher(server, concurrency=4), some(20), notes)
    assert len(server.requests) == 5
    assert notes.failures == [None] * 5
    assert set(notes.reasons.values()) == {None}


def test_what_was_within_the_cap_leaves_though_the_next_was_not(server: OpenAIServer) -> None:
    class Slow(Notes):
        async def begin(self, call: Call) -> int:
            number = await super().begin(call)
            await asyncio.sleep(0.02)  # on its way to the disk, while the others meet the cap
            return number

    notes = Slow(most=3)
    with pytest.raises(BudgetError):
        converse(teacher(server, concurrency=6), some(9), notes)
    assert notes.failures == [None] * 3
    assert len(server.requests) == 3


def test_what_was_begun_when_the_key_was_refused_does_not_leave(server: OpenAIServer) -> None:
    class Slow(Notes):
        async def begin(self, call: Call) -> int:
            number = await super().begin(call)
            await asyncio.sleep(0.2 * number)
            return number

    server.always, notes = "unauthorised", Slow()
    with pytest.raises(TeacherError, match="refuses the key"):
        converse(teacher(server, concurrency=2), some(9), notes)
    assert [(one.failure, one.detail == "not sent") for one in notes.ended.values()] == [
        ("stopped", False),
        ("stopped", True),
    ]
    assert len(server.requests) == 1


def test_a_recorder_that_breaks_down_ends_everything(server: OpenAIServer) -> None:
    class Broken(Notes):
        async def end(self, number: int, outcome: Outcome) -> None:
            raise OSError("no space left")

    server.ignores_n = True
    one = teacher(server, concurrency=4)
    for _ in range(2):  # the second time each sample is asked for alone
        with pytest.raises(OSError, match="no space left"):
            converse(one, some(20, 4), Broken())
        one._abilities.honours_n = False
    assert len(server.requests) <= 4 + 16


def test_no_server_stops_after_all_tries() -> None:
    with OpenAIServer() as gone:
        url = gone.url
    notes = Notes()
    one = OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny", base_url=url, retries=2, concurrency=1))
    with pytest.raises(TeacherError, match=r"cannot be reached.*teacher\.base_url"):
        converse(one, some(3), notes)
    assert notes.failures == ["no connection"] * 3


@pytest.mark.parametrize("url", ["http://[::1", "127.0.0.1:8000/v1", "localhost:8000", "http://", "http://a\0b", "a b"])
def test_an_address_that_is_none_shows_before_anything_is_asked(url: str) -> None:
    with pytest.raises(TeacherError, match=r"is none: .*teacher\.base_url"):
        OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny", base_url=url))


def test_replies_that_came_are_kept_when_the_others_fail(server: OpenAIServer) -> None:
    server.ignores_n = True
    server.faults = deque(["ok", "bad request", "ok"])
    asked = request(numbered(1), 3)
    notes = converse(teacher(server, concurrency=1), [asked])
    assert len(notes.samples(asked)) == 2
    assert notes.reasons == {"own/1": "HTTP 400: The prompt was filtered"}


@pytest.mark.parametrize("patience", [0.0, 20.0])
def test_cancelling_sends_nothing_more_and_waits_a_while_for_what_is_in_flight(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(openai_client, "_FAREWELL_SECONDS", patience)
    server.faults, server.always, notes = deque(["ok"]), "slow", Notes()

    async def cell() -> None:
        wanted = [(one, (0,)) for one in some(9)]
        task = asyncio.create_task(teacher(server, concurrency=4).converse(wanted, notes, notes.settled))
        while not notes.reasons or len(server.requests) < 5:
            await asyncio.sleep(0.005)
        task.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert patience or time.monotonic() - started < 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(cell())
    assert len(server.requests) == 5
    assert len(notes.ended) == (5 if patience else 1)  # the others stay open, for the ledger to find


def test_the_service_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TeacherError, match="OPENAI_API_KEY"):
        OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    OpenAITeacher(OpenAITeacherSettings(kind="openai", model="tiny"))


def test_a_key_from_a_file_is_sent(server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY")
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "key").chmod(0o600)
    one = teacher(server, api_key_file=tmp_path / "key")
    converse(one, some(1))
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    server.always = "unauthorised"
    with pytest.raises(TeacherError, match="refuses the key in the key file"):
        converse(one, some(1))


def test_no_key_sends_no_header(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY")
    converse(teacher(server), some(1))
    assert "Authorization" not in server.headers[0]


def test_the_key_shows_nowhere(server: OpenAIServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = teacher(server, retries=0, concurrency=1)
    server.faults, notes = deque(["bad request", "reset", "not json", "unauthorised"]), Notes()
    with pytest.raises(TeacherError) as raised:
        converse(one, some(5), notes)
    assert [sent for sent in server.headers if KEY in sent["Authorization"]] == server.headers
    server.headers.clear()  # the frame of this test holds them
    shown = [repr(one), repr(vars(one)), str(one.identity), str(notes), caplog.text, str(raised.value)]
    shown += traceback.TracebackException.from_exception(raised.value, capture_locals=True).format()
    assert not [text for text in shown if KEY in text]
    assert "***" in str(raised.value)
    assert "***" in str(notes)


def test_the_address_does_not_change_what_is_known(server: OpenAIServer) -> None:
    assert teacher(server).identity == teacher(server, base_url="http://elsewhere/v1", retries=3).identity
    assert teacher(server).identity != teacher(server, temperature=0.5).identity
    assert teacher(server).identity != teacher(server, thinking_tokens=5).identity
