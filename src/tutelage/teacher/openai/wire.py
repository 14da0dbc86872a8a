"""What goes over the wire to an OpenAI-compatible endpoint and what comes back, as JSON-able values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tutelage.config import OpenAITeacherSettings
from tutelage.prompts import STOP
from tutelage.records import Message
from tutelage.teacher.protocol import Call, Request, Sample, SampleKind, Usage, clean_text

_MESSAGE_TOKENS = 16
_PROMPT_TOKENS = 64
"""What a chat template may add to a message, and to the whole; a system text of the model's own is longer in few."""
_MOST_TOKENS = 2**53
_THOUGHT = re.compile(r"\s*(?:<think(?:ing)?>)?(?P<thought>.*?)</think(?:ing)?>\s*", re.DOTALL)
_OPEN_THOUGHT = re.compile(r"\s*<think(?:ing)?>(?P<thought>.*)", re.DOTALL)


class DamagedReplyError(Exception):
    """A reply that is not what the protocol says; the message says how."""


@dataclass(slots=True)
class Abilities:
    """What an endpoint was found to take. It starts hopeful, and a teacher learns from its first refusals.

    honours_n: whether it sends as many choices as `n` says. takes_sampling: whether it takes a temperature.
    """

    honours_n: bool = True
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    takes_sampling: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """What one HTTP request brought. choices: how many the reply has; one that failed gives no sample."""

    samples: tuple[Sample, ...]
    usage: Usage
    choices: int


def path(settings: OpenAITeacherSettings) -> str:
    """The endpoint behind the base address."""
    return "/chat/completions" if settings.endpoint == "chat" else "/completions"


def body(settings: OpenAITeacherSettings, request: Request, replies: int, abilities: Abilities) -> dict[str, object]:
    """The JSON body that asks for `replies` samples of a request's prompt."""
    value: dict[str, object] = {"model": settings.model}
    if isinstance(request.prompt, str):
        value["prompt"] = request.prompt
        value["stop"] = list(STOP)
    else:
        value["messages"] = [{"role": message.role, "content": message.content} for message in request.prompt]
    value[abilities.max_tokens_name] = settings.max_new_tokens + settings.thinking_tokens
    if abilities.takes_sampling:
        value["temperature"] = settings.temperature
        value["top_p"] = settings.top_p
    if replies > 1:  # some servers refuse the very name
        value["n"] = replies
    return value


def call(settings: OpenAITeacherSettings, request: Request, places: Sequence[int]) -> Call:
    """The call that asks for the samples at `places`, with the most that it may come to."""
    most = len(places) * (settings.max_new_tokens + settings.thinking_tokens)
    return Call(request, tuple(places), most_prompt_tokens(request.prompt), most)


def most_prompt_tokens(prompt: Sequence[Message] | str) -> int:
    """An upper bound for any tokenizer, of which none makes more tokens of a text than it has bytes in UTF-8."""
    texts = [prompt] if isinstance(prompt, str) else [message.content for message in prompt]
    return sum(_bytes(text) + _MESSAGE_TOKENS for text in texts) + _PROMPT_TOKENS


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def read_response(value: object) -> Response:
    """Reads a reply's parsed JSON; an empty list of choices gives no samples.

    Raises: DamagedReplyError if it is not what the protocol says.
    """
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(choices, list):
        raise DamagedReplyError(f"no choices in {str(value)[:100]!r}")
    return Response(tuple(_samples(choices)), _usage(value.get("usage")), len(choices))


def _samples(choices: list[object]) -> Iterator[Sample]:
    for choice in choices:
        if not isinstance(choice, dict):
            raise DamagedReplyError(f"a choice is {str(choice)[:100]!r}")
        sample = _sample(choice)
        # A router reports a provider that broke down inside of a good reply; such a choice was not answered.
        if sample.text is not None or not (choice.get("error") or sample.finish_reason == "error"):
            yield sample


def _sample(choice: dict[str, object]) -> Sample:
    message = choice.get("message")
    refusal: object = None
    if isinstance(message, dict):
        content, refusal = message.get("content"), message.get("refusal")
        thinking = _written(message.get("reasoning_content")) or _written(message.get("reasoning"))
    elif message is None and "text" in choice:
        content, thinking = choice["text"], None
    else:
        raise DamagedReplyError(f"a choice without a message: {str(choice)[:100]!r}")
    text, thought = _apart(_text(content))
    reason = choice.get("finish_reason")
    finish = _clean(reason) if isinstance(reason, str) else ""
    kind = _kind(bool(text), _written(refusal) is not None, finish)
    return Sample(kind, text if kind in ("text", "cut") else None, finish, thinking or thought)


def _kind(told: bool, refused: bool, finish: str) -> SampleKind:
    if refused or (finish == "content_filter" and not told):
        return "refused"
    if not told:
        return "empty"
    return "cut" if finish == "length" else "text"


def _text(content: object) -> str:
    """The text of a message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is None:
        return ""
    if not isinstance(content, str):
        raise DamagedReplyError(f"a text is {str(content)[:100]!r}")
    return _clean(content)


def _clean(text: str) -> str:
    return text if text.isascii() else clean_text(text)


def _written(value: object) -> str | None:
    """A text from outside, None if it is blank or none."""
    return _clean(value) if isinstance(value, str) and value and not value.isspace() else None


def _apart(text: str) -> tuple[str | None, str | None]:
    """The text that was meant for the reader and the thinking before it, each None if blank.

    A prompt's template may open the thinking, so that the text only closes it. What is never closed is all thinking.
    """
    thought = None
    if "</think" in text and (closed := _THOUGHT.match(text)):
        thought, text = closed["thought"], text[closed.end() :]
    elif "<think" in text and (opened := _OPEN_THOUGHT.match(text)):
        thought, text = opened["thought"], ""
    return (text if text and not text.isspace() else None), _written(thought)


def _usage(value: object) -> Usage:
    if not isinstance(value, dict):
        return Usage()
    details = value.get("prompt_tokens_details")
    prompt, completion = _count(value.get("prompt_tokens")), _count(value.get("completion_tokens"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    if cached is not None and (prompt is None or cached > prompt):
        cached = None
    return Usage(prompt, completion, cached)


def _count(count: object) -> int | None:
    if isinstance(count, bool) or not isinstance(count, int):
        return None
    return count if 0 <= count < _MOST_TOKENS else None
