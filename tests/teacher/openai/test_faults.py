"""What endpoints say when they fail, and what it means: the words are those that real ones use."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tutelage.config import OpenAITeacherSettings
from tutelage.teacher.openai import faults, wire
from tutelage.teacher.openai.exchange import Answer
from tutelage.teacher.openai.faults import Fault
from tutelage.teacher.openai.keys import Endpoint
from tutelage.teacher.protocol import FailureKind

KEY = "sk-very-secret-0123456789"
SETTINGS = OpenAITeacherSettings(kind="openai", model="tiny", api_key_env="TEACHER_KEY")
ENDPOINT = Endpoint(SETTINGS, "http://127.0.0.1:9/v1", SecretStr(KEY))


def told(
    status: int, message: object = "no", code: object = None, param: str | None = None, kind: str | None = None
) -> Fault:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return faults.of_status(status, {"error": error}, ENDPOINT)


@pytest.mark.parametrize(
    ("status", "kind", "passing"),
    [
        (400, "bad request", False),
        (413, "bad request", False),
        (422, "bad request", False),
        (408, "server error", True),
        (409, "server error", True),
        (429, "rate limit", True),
        (500, "server error", True),
        (502, "server error", True),
        (503, "overloaded", True),
        (529, "overloaded", True),
        (403, "stopped", False),
        (401, "stopped", False),
        (402, "stopped", False),
        (404, "stopped", False),
        (405, "stopped", False),
        (301, "stopped", False),
        (308, "stopped", False),
    ],
)
def test_each_status_has_its_kind(status: int, kind: FailureKind, passing: bool) -> None:
    fault = told(status)
    assert (fault.kind, fault.passing, fault.stop is not None) == (kind, passing, kind == "stopped")
    assert fault.detail == f"HTTP {status}: no"


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (told(401), "TEACHER_KEY"),
        (told(403), "TEACHER_KEY"),
        (told(400, "API key not valid. Please pass a valid API key."), "TEACHER_KEY"),
        (told(400, "no", "invalid_api_key"), "TEACHER_KEY"),
        (told(403, "Your account was flagged."), "refuses the key"),
        (told(404), "teacher.model"),
        (told(400, "The model `x` does not exist", "model_not_found"), "teacher.model"),
        (told(400, "Server is pinned to '/models/a'; requested 'b'."), "teacher.model"),
        (told(400, "model 'b' not found, try pulling it first"), "teacher.model"),
        (told(400, "max_tokens is too large: 9999. This model supports at most 4096."), "teacher.max_new_tokens"),
        (told(429, "You exceeded your current quota", "insufficient_quota"), "no money or quota"),
        (told(429, "You exceeded your current quota", None, kind="insufficient_quota"), "no money or quota"),
        (told(402), "no money or quota"),
        (told(400, "Your credit balance is too low to access the Anthropic API."), "no money or quota"),
        (told(403, "The team has either used all available credits or reached its limit."), "no money or quota"),
        (told(401, "Insufficient Balance"), "no money or quota"),
        (told(407), "HTTPS_PROXY"),
        (told(400, "Unsupported parameter: 'stop'", "unsupported_parameter", "stop"), "takes other parameters"),
        (told(308), "new address"),
    ],
)
def test_what_would_fail_every_request_says_what_to_do(fault: Fault, advice: str) -> None:
    assert fault.stop is not None
    assert advice in fault.stop
    assert fault.detail in fault.stop
    assert "tutelage resume" in fault.stop


def test_what_is_not_found_may_be_another_thing_than_the_model() -> None:
    fault = told(400, "The model does not support the given prompt: input not found")
    assert (fault.kind, fault.stop) == ("bad request", None)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Your input was flagged", "403"),
        ("openai/gpt requires moderation on OpenRouter. Your input was flagged for violence.", "403"),
        ("Not allowed", "content_policy_violation"),
        ("This goes against our Content Policy.", "forbidden"),
    ],
)
def test_a_refused_content_is_no_wrong_key_and_no_refused_n(message: str, code: str) -> None:
    assert told(403, message, code) == Fault("bad request", f"HTTP 403: {message}")
    assert not told(400, message, code).refused


def test_what_is_larger_than_a_minutes_tokens_is_set_aside() -> None:
    message = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 50000."
    fault = told(429, message, "rate_limit_exceeded", kind="tokens")
    assert (fault.kind, fault.passing, fault.refused, fault.stop) == ("bad request", False, False, None)


@pytest.mark.parametrize("status", [400, 422])
def test_a_body_refused_as_it_stands_may_be_so_for_its_n(status: int) -> None:
    assert told(status, "Only one choice is allowed").refused


@pytest.mark.parametrize(
    ("fault", "dislikes"),
    [
        (told(400, "Unsupported value: 'n' does not support 3.", "unsupported_value"), "n"),
        (told(400, "not so many", "unsupported_value", "n"), "n"),
        (
            told(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'.",
                "unsupported_parameter",
                "max_tokens",
            ),
            "max_tokens",
        ),
        (told(400, "`max_tokens` is not supported, use `max_completion_tokens`"), "max_tokens"),
        (told(400, "'temperature' does not support 0.7 with this model.", "unsupported_value"), "sampling"),
        (told(400, "no", "unsupported_parameter", "top_p"), "sampling"),
        (told(400, "`temperature` and `top_p` cannot both be specified for this model."), "sampling"),
        (told(400, "max_tokens is too large: 5000. This model supports at most 4096.", None, "max_tokens"), None),
        (told(400, "the question 'n' is odd"), None),
        (told(400, "'stop' is not supported", "unsupported_parameter", "stop"), None),
        (told(500, "'temperature' is not supported"), None),
    ],
)
def test_what_an_endpoint_does_not_take(fault: Fault, dislikes: str | None) -> None:
    assert fault.dislikes == dislikes


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"error": "model is loading"}, "model is loading"),
        ({"detail": [{"msg": "field required"}]}, "[{'msg': 'field required'}]"),
        ({"object": "error", "message": "no", "code": 40001}, "no"),
        ([{"error": {"message": "no", "code": 400}}], "no"),
        ("<html>\n<b>Bad</b>\n</html>", "<html> <b>Bad</b> </html>"),
        ({"error": {"odd": 1}}, "{'odd': 1}"),
        (None, "None"),
        ("\ud83d", "\ufffd"),
    ],
)
def test_what_is_said_is_found(value: object, message: str) -> None:
    assert faults.of_status(400, value, ENDPOINT).detail == f"HTTP 400: {message}"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, "server error"),
        ({"error": {"message": "Slow down", "code": "429"}}, "rate limit"),
        ({"error": {"message": "No credits", "code": 402}}, "stopped"),
        ({"error": {"message": "broke", "code": "insufficient_quota"}}, "stopped"),
        ({"error": "something"}, "damaged reply"),
    ],
)
def test_an_error_behind_a_good_status_is_one(value: object, kind: FailureKind) -> None:
    fault = faults.of_body(value, ENDPOINT)
    assert fault is not None
    assert fault.kind == kind


@pytest.mark.parametrize("value", [{"choices": []}, {"choices": [{}], "error": "x"}, {"error": None}, [], "no", None])
def test_no_error_is_none(value: object) -> None:
    assert faults.of_body(value, ENDPOINT) is None


def _connector_error() -> aiohttp.ClientConnectorError:
    where = ConnectionKey("127.0.0.1", 9, False, True, None, None, None)
    return aiohttp.ClientConnectorError(where, OSError(111, "refused"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_connector_error(), "no connection"),
        (aiohttp.ConnectionTimeoutError("slow"), "no connection"),
        (TimeoutError(), "timed out"),
        (aiohttp.SocketTimeoutError("slow"), "timed out"),
        (aiohttp.ServerDisconnectedError(), "broken connection"),
        (aiohttp.ClientOSError(104, "reset"), "broken connection"),
        (aiohttp.ClientPayloadError("not all there"), "broken connection"),
        (ConnectionResetError(104, "reset"), "broken connection"),
        (ValueError("no JSON"), "damaged reply"),
        (RecursionError(), "damaged reply"),
    ],
)
def test_each_exception_has_its_kind(error: Exception, kind: FailureKind) -> None:
    fault = faults.of_exception(error, ENDPOINT)
    assert (fault.kind, fault.passing) == (kind, True)
    assert (fault.stop is not None) == (kind == "no connection")


@given(st.text(), st.text(), st.sampled_from([400, 401, 404, 429, 500]))
def test_the_key_is_blotted_out(before: str, after: str, status: int) -> None:
    for fault in (
        told(status, f"{before}{KEY}{after}"),
        faults.of_status(status, f"{before}{KEY}{after}", ENDPOINT),
        faults.of_exception(ValueError(f"{before}{KEY}{after}"), ENDPOINT),
    ):
        assert KEY not in f"{fault.detail}{fault.stop}"
        assert len(fault.detail) <= 303
        f"{fault.detail}{fault.stop}".encode()


@given(st.text("x ", max_size=120), st.sampled_from([200, 400, 500]))
def test_an_excerpt_that_cuts_the_key_shows_only_whose_it_may_be(before: str, status: int) -> None:
    reply = Answer(status, {}, f"{before}{KEY} and more".encode())
    try:
        fault = faults.of_status(status, reply.value(), ENDPOINT)
    except wire.DamagedReplyError as error:
        fault = faults.of_exception(error, ENDPOINT)
    assert KEY[:9] not in f"{fault.detail}{fault.stop}"


def test_a_key_with_quotes_is_blotted_out_where_they_are_escaped() -> None:
    key = "it's\\a\"key"
    fault = faults.of_status(500, {"error": {"said": key}}, Endpoint(SETTINGS, ENDPOINT.url, SecretStr(key)))
    assert fault.detail == "HTTP 500: {'said': '***'}"


@given(st.integers(100, 999), st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner)))
def test_no_body_breaks_the_reading(status: int, value: object) -> None:
    for body in (value, {"error": value}, {"error": {"message": value, "code": value, "type": value, "param": value}}):
        assert faults.of_status(status, body, ENDPOINT).detail
