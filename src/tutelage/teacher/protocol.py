"""What a teacher is: requests in, replies out.

A request asks for several samples of one prompt. Each sample is known by a key of its own (`sample_keys`), so that
what was answered is never asked again, whatever is asked beside it.

There are two kinds of teachers. One that costs nothing yields its replies (`FreeTeacher`). One behind a network says
what it is about to send and what came of it, call by call (`PaidTeacher`, `Recorder`), so that a budget can hold and
every paid reply is on the disk before it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from tutelage.records import Message, Mistake, Question

_LONE = re.compile("[\ud800-\udfff]")


RequestKind = Literal["feedback", "judgement"]
"""What a request asks for: a correction of the student, or a score for what it wrote (Table 6)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question for the teacher: T(x, null, y) without a mistake, T(x, r̂, y) with one (3.2).

    prompt: chat messages, or the one text that a completion endpoint continues.
    replies: how many samples are asked for; they have the places 0 .. replies - 1.
    round: a question asked again in a later round is a new draw, but what was judged once is judged for good.
    """

    question: Question
    mistake: Mistake | None
    prompt: tuple[Message, ...] | str
    replies: int
    round: int
    kind: RequestKind = "feedback"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the teacher counted; None where it does not say. cached_tokens: those of the prompt it had cached."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What there is for a request: one text for each sample that has one, maybe fewer than were asked for.

    finish_reasons: one for each text, as the endpoint says it ("stop", "length", ...).
    error: why nothing came; then there are no texts.
    """

    texts: tuple[str, ...]
    finish_reasons: tuple[str, ...] = ()
    usage: Usage = Usage()
    error: str | None = None


SampleKind = Literal["text", "cut", "refused", "empty"]
"""What came for a sample: a text, one that the limit of tokens cut off, a refusal, nothing. All of them were answered,
and none is asked for again."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reply of the several that a request asks for.

    text: None unless kind is "text" or "cut". finish_reason: as the endpoint says it.
    thinking: what a reasoning model thought before, where it tells.
    """

    kind: SampleKind
    text: str | None
    finish_reason: str = ""
    thinking: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request that is about to leave.

    places: the request's samples that it asks for. most_prompt_tokens, most_completion_tokens: what it may come to at
    the worst, over all its samples.
    """

    request: Request
    places: tuple[int, ...]
    most_prompt_tokens: int
    most_completion_tokens: int


FailureKind = Literal[
    "no connection",  # it could not be made: nothing was sent
    "broken connection",  # reset or closed while the reply was awaited
    "timed out",
    "rate limit",  # HTTP 429
    "overloaded",  # HTTP 503, 529
    "server error",  # other 5xx, 408, 409
    "damaged reply",  # truncated or invalid JSON, a page of HTML, a body without what the protocol says
    "no choices",  # a good reply with an empty list
    "bad request",  # 400, 413, 422: this request is not taken as it stands, such as for its content
    "stopped",  # every further request would fail alike: wrong key, no such model, no quota
    "expired",  # of a batch
    "no reply",  # a teacher that costs nothing has none for this request
    "interrupted",  # the process ended while it was awaited; found at the next start
]
"""Why a call brought nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: samples by place, maybe fewer than it asked for; or a failure, with the reason in words."""

    samples: Mapping[int, Sample]
    usage: Usage = Usage()
    failure: FailureKind | None = None
    detail: str = ""


class Recorder(Protocol):
    """Keeps the books for a paid teacher. Both methods return when what they were told is on the disk."""

    async def begin(self, call: Call) -> int:
        """Reserves the worst case and notes that the call leaves; its number. Waits while calls in flight may free
        enough of the budget. Raises: BudgetError if they cannot; the call must not leave then.
        """
        ...

    async def end(self, number: int, outcome: Outcome) -> None:
        """Keeps what came and gives back what was reserved too much."""
        ...


Wanted = tuple[Request, tuple[int, ...]]
"""A request with the places of those of its samples that are not known yet."""


class Teacher(Protocol):
    """Who corrects.

    name: for the run's records, such as "gpt-4o" or "offline tutor (rule-based stand-in)".
    identity: everything besides a request's own fields that changes what is replied (model, endpoint,
        sampling), as JSON-able values; it goes into the samples' keys.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> dict[str, object]: ...


class FreeTeacher(Teacher, Protocol):
    """One that costs nothing and fails for no request in passing: in this process, or from files."""

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        """Yields each request with its reply, all its samples at once, as it has them, in any order.

        Fewer texts than asked for are all there are. Raises: TeacherError, StudentError if it cannot be used at all.
        """
        ...


@runtime_checkable
class PaidTeacher(Teacher, Protocol):
    """One behind a network."""

    async def converse(
        self, wanted: Iterable[Wanted], recorder: Recorder, settled: Callable[[Request, str | None], None]
    ) -> None:
        """Asks for all that is wanted, taking it from the iterable as it goes.

        settled: called once for each request when nothing more will be asked for it, with the reason why samples
        are missing, if they are. Raises: TeacherError if every further request would fail, BudgetError at a cap; what
        is in flight then is waited for first.
        """
        ...


def clean_text(text: str) -> str:
    """A text that came from outside, with U+FFFD for each half of a character ("\\ud83d").

    JSON may hold such a half, as where a limit on tokens cuts an emoji; nothing can write it as UTF-8.
    """
    return _LONE.sub("\ufffd", text)


def sample_keys(teacher: Teacher, request: Request) -> tuple[str, ...]:
    """The ledger's key of each sample: a hash over all that changes it and nothing that does not, 64 hex digits.

    A draw of a later round is another sample. The number of samples asked for at once changes none of them.
    """
    known = _KEYS.get(id(request))
    if known is not None and known[0] is request and known[1] is teacher:
        return known[2]
    asked_in = {"round": request.round} if request.kind == "feedback" else {"kind": request.kind}
    content: dict[str, object] = {"teacher": teacher.identity, **asked_in}
    if request.prompt:
        prompt = request.prompt
        content["prompt"] = prompt if isinstance(prompt, str) else [[m.role, m.content] for m in prompt]
    else:  # a teacher without a prompt of its own reads the records
        content["question"] = request.question.id
        content["mistake"] = None if request.mistake is None else request.mistake.rationale
        content["replies"] = request.replies
    stem = hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode())
    keys = []
    for place in range(request.replies):
        one = stem.copy()
        one.update(f"\0{place}".encode())
        keys.append(one.hexdigest())
    if len(_KEYS) >= _MOST_KEYS:
        _KEYS.clear()
    _KEYS[id(request)] = (request, teacher, tuple(keys))
    return tuple(keys)


_MOST_KEYS = 256
_KEYS: dict[int, tuple[Request, Teacher, tuple[str, ...]]] = {}
"""Of the last requests: each is asked for its keys at every step on its way, and hashing whole prompts takes time."""
