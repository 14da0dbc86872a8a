"""What a teacher is: requests in, replies out, with token usage.

A teacher is anything with this protocol. It yields each reply as soon as it has it, in any order, so
that the ledger can commit it before it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tutelage.records import Message, Mistake, Question

_LONE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Request:
    """One question for the teacher: T(x, null, y) without a mistake, T(x, r̂, y) with one (3.2).

    prompt: chat messages, or the one text that a completion endpoint continues.
    replies: how many are asked for. round: a question asked again in a later round is a new draw.
    """

    question: Question
    mistake: Mistake | None
    prompt: tuple[Message, ...] | str
    replies: int
    round: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the teacher counted; None where it does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request: one text for each choice, maybe fewer than were asked for.

    finish_reasons: one for each text, as the endpoint says it ("stop", "length", ...).
    error: why nothing came; then there are no texts.
    """

    texts: tuple[str, ...]
    finish_reasons: tuple[str, ...] = ()
    usage: Usage = Usage()
    error: str | None = None


class Teacher(Protocol):
    """Who corrects.

    name: for the run's records, such as "gpt-4o" or "offline tutor (rule-based stand-in)".
    identity: everything besides a request's own fields that changes what is replied (model, endpoint,
        sampling), as JSON-able values; it goes into the ledger's key.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> dict[str, object]: ...

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        """Yields each request with its reply as it arrives, in any order.

        Raises: TeacherError if the teacher cannot be used at all (wrong key, no such model, no server).
        A request that alone fails comes back as a Reply with `error` set.
        """
        ...


def clean_text(text: str) -> str:
    """A text that came from outside, with U+FFFD for each half of a character ("\\ud83d").

    JSON may hold such a half, as where a limit on tokens cuts an emoji; nothing can write it as UTF-8.
    """
    return _LONE.sub("\ufffd", text)


def request_key(teacher: Teacher, request: Request) -> str:
    """The ledger's key of a request: a hash over all that changes its reply, in 64 hexadecimal digits."""
    prompt = request.prompt if isinstance(request.prompt, str) else [[m.role, m.content] for m in request.prompt]
    # The question and the mistake stand in the prompt, but for teachers without a prompt of their own.
    content = {
        "teacher": teacher.identity,
        "prompt": prompt,
        "question": request.question.id,
        "mistake": None if request.mistake is None else request.mistake.rationale,
        "replies": request.replies,
        "round": request.round,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
