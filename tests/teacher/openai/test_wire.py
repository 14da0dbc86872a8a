"""Bodies of requests, and replies field by field: what is read, what is damaged, and what is only odd."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.teacher.asking import numbered, request
from tutelage.config import OpenAITeacherSettings
from tutelage.records import Message
from tutelage.teacher.openai import wire
from tutelage.teacher.openai.wire import Abilities, DamagedReplyError
from tutelage.teacher.protocol import Sample, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = ("message", "text", "finish_reason", "error", "content", "refusal", "reasoning", "reasoning_content")
CHOICE = st.recursive(
    JSON, lambda inner: st.dictionaries(st.sampled_from(NAMES), inner | st.sampled_from(["stop", "length", "error"]))
)


def settings(**given: object) -> OpenAITeacherSettings:
    return OpenAITeacherSettings.model_validate({"kind": "openai", "model": "tiny", **given})


def chat(content: object, finish_reason: object = "stop", **others: object) -> dict[str, object]:
    return {"message": {"role": "assistant", "content": content, **others}, "finish_reason": finish_reason}


def sample(choice: dict[str, object]) -> Sample:
    (one,) = wire.read_response({"choices": [choice]}).samples
    return one


def test_the_body_of_a_chat() -> None:
    given = settings(temperature=0.7, top_p=0.8, max_new_tokens=99)
    asked = request(numbered(3), 4)
    assert wire.path(given) == "/chat/completions"
    assert wire.body(given, asked, 4, Abilities()) == {
        "model": "tiny",
        "messages": [{"role": one.role, "content": one.content} for one in asked.prompt if isinstance(one, Message)],
        "max_tokens": 99,
        "temperature": 0.7,
        "top_p": 0.8,
        "n": 4,
    }


def test_the_body_of_a_completion_that_asks_for_one() -> None:
    given = settings(endpoint="completion")
    body = wire.body(given, request(numbered(3), 4, completion=True), 1, Abilities())
    assert wire.path(given) == "/completions"
    assert isinstance(body["prompt"], str)
    assert body["stop"] == ["\nQuestion:"]
    assert "n" not in body  # some servers refuse the very name
    assert "messages" not in body


def test_what_an_endpoint_does_not_take_is_left_out() -> None:
    given = settings(max_new_tokens=100, thinking_tokens=900)
    body = wire.body(given, request(numbered(1)), 1, Abilities(True, "max_completion_tokens", False))
    assert body["max_completion_tokens"] == 1000
    assert not {"temperature", "top_p", "max_tokens"} & body.keys()


def test_a_call_reserves_the_worst_case_of_all_its_samples() -> None:
    asked = request(numbered(1), 4)
    call = wire.call(settings(max_new_tokens=100, thinking_tokens=900), asked, [1, 3])
    assert (call.request, call.places, call.most_completion_tokens) == (asked, (1, 3), 2000)
    assert call.most_prompt_tokens == wire.most_prompt_tokens(asked.prompt)


@given(st.lists(st.text(st.characters()), max_size=3))
def test_no_prompt_has_more_tokens_than_its_bytes(texts: list[str]) -> None:
    total = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    assert wire.most_prompt_tokens([Message("user", text) for text in texts]) == total + 16 * len(texts) + 64
    assert wire.most_prompt_tokens("".join(texts)) >= total


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (chat("ok"), Sample("text", "ok", "stop")),
        ({"text": " ok", "finish_reason": "stop"}, Sample("text", " ok", "stop")),
        (chat("half a", "length"), Sample("cut", "half a", "length")),
        (chat(None, "length"), Sample("empty", None, "length")),
        (chat(None), Sample("empty", None, "stop")),
        (chat(" \n"), Sample("empty", None, "stop")),
        ({"text": None}, Sample("empty", None, "")),
        (chat(None, refusal="I will not."), Sample("refused", None, "stop")),
        (chat("", "content_filter"), Sample("refused", None, "content_filter")),
        (chat("so far", "content_filter"), Sample("text", "so far", "content_filter")),
        (chat("ok", refusal=""), Sample("text", "ok", "stop")),
        (chat("ok", None), Sample("text", "ok", "")),
        (chat("ok \ud83d", "\ud83d"), Sample("text", "ok \ufffd", "\ufffd")),
        (chat([{"type": "text", "text": "o"}, {"type": "text", "text": "k"}]), Sample("text", "ok", "stop")),
        (chat([{"type": "image"}]), Sample("empty", None, "stop")),
    ],
)
def test_each_kind_of_sample_is_told_apart(choice: dict[str, object], expected: Sample) -> None:
    assert sample(choice) == expected


@pytest.mark.parametrize(
    ("choice", "text", "thinking"),
    [
        (chat("ok", reasoning_content="hm \ud83d"), "ok", "hm \ufffd"),
        (chat("ok", reasoning="hm"), "ok", "hm"),
        (chat("ok", reasoning_content=None, reasoning=""), "ok", None),
        (chat("<think>\nhm\n</think>\n\nok"), "ok", "\nhm\n"),
        (chat("<think></think>ok"), "ok", None),
        (chat("hm</think>ok"), "ok", "hm"),  # the template opened it
        (chat("<thinking>hm</thinking> ok"), "ok", "hm"),
        (chat("We <think> it is 4."), "We <think> it is 4.", None),
        (chat("<think>hm", "length"), None, "hm"),
        (chat("<think>hm</think> ", "stop"), None, "hm"),
        ({"text": "<think>hm</think>ok"}, "ok", "hm"),
    ],
)
def test_thinking_stands_apart(choice: dict[str, object], text: str | None, thinking: str | None) -> None:
    one = sample(choice)
    assert (one.text, one.thinking, one.kind) == (text, thinking, "empty" if text is None else "text")


def test_a_choice_that_a_router_could_not_fill_is_not_answered() -> None:
    broken = chat("", "error") | {"error": {"code": 502, "message": "provider broke down"}}
    assert wire.read_response({"choices": [broken, chat("ok")]}).samples == (Sample("text", "ok", "stop"),)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 10}, Usage(20, 10)),
        (
            {"prompt_tokens": 20, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 16}},
            Usage(20, 1, 16),
        ),
        ({"prompt_tokens": 20, "prompt_tokens_details": {"cached_tokens": 21}}, Usage(20)),
        ({"prompt_tokens": True, "completion_tokens": -1}, Usage()),
        ({"prompt_tokens": "20", "completion_tokens": 1.0, "prompt_tokens_details": None}, Usage()),
        ({"prompt_tokens": 10**30}, Usage()),
        (None, Usage()),
        ([], Usage()),
    ],
)
def test_usage_is_read_or_unknown(usage: object, expected: Usage) -> None:
    assert wire.read_response({"choices": [], "usage": usage}).usage == expected


@pytest.mark.parametrize(
    "value",
    [
        None, [], "text", {}, {"choices": None}, {"choices": {}}, {"choices": ["text"]}, {"choices": [{}]},
        {"choices": [{"message": None}]}, {"choices": [{"message": "text"}]}, {"choices": [chat(4)]},
        {"choices": [{"text": 4}]},
    ],
)  # fmt: skip
def test_what_the_protocol_does_not_say_is_damaged(value: object) -> None:
    with pytest.raises(DamagedReplyError):
        wire.read_response(value)


@given(JSON | st.fixed_dictionaries({"choices": st.lists(CHOICE), "usage": JSON}))
def test_nothing_from_outside_breaks_the_reading(value: object) -> None:
    try:
        response = wire.read_response(value)
    except DamagedReplyError:
        return
    for one in response.samples:
        assert (one.text is not None) == (one.kind in ("text", "cut"))
        json.dumps([one.text, one.finish_reason, one.thinking], ensure_ascii=False).encode()
