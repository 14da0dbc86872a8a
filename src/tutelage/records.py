"""What flows between the stages: frozen records, one line of JSON each.

A record is written with `to_json` and read with `from_json`, which checks every field, so a damaged
file is reported by its line and never read half. The words are the paper's (arXiv 2310.13332).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass as checked_dataclass

AnswerKind = Literal["number", "percentage", "choice", "yes/no", "text"]
"""How answers compare. "number": 50% is 50; "percentage": 50% is one half; "choice": a letter from A;
"yes/no": Yes or No; "text": the same words but for case, outer punctuation and white space."""

SplitName = Literal["train", "held-out", "test"]

_STRICT = ConfigDict(extra="forbid")


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Question:
    """A question x with its gold answer y (3.1).

    id: unique in its task and stable between runs, such as "svamp/17" (row of the raw file).
    answer: the gold answer in canonical form: "1000", "-2.5", "B", "Yes", or the text.
    choices: the texts of choices A, B, ... of a choice question, in order; empty otherwise.
    rationale: a worked solution that came with the row, without the answer line; None if there is none.
    """

    id: str
    text: str
    answer: str
    kind: AnswerKind
    choices: tuple[str, ...] = ()
    rationale: str | None = None


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Demonstration:
    """One worked example of a few-shot prompt; `wrong_rationale` only in those shown to the teacher (Table 12)."""

    question: str
    rationale: str
    answer: str
    choices: tuple[str, ...] = ()
    wrong_rationale: str | None = None


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Attempt:
    """One try of the student at a question.

    text: everything the student wrote after "Reasoning:", answer line included.
    answer: the answer read from it in canonical form, None when none could be read.
    tokens: new tokens generated; finished: False when the limit on new tokens cut it off.
    """

    question_id: str
    sample: int
    text: str
    rationale: str
    answer: str | None
    correct: bool
    tokens: int
    finished: bool


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Mistake:
    """A wrong rationale r̂ with its wrong answer ŷ, or None when no answer could be read (3.1)."""

    question_id: str
    rationale: str
    answer: str | None


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Message:
    """One message of a chat with the teacher."""

    role: Literal["system", "user", "assistant"]
    content: str


Verdict = Literal[
    "kept",
    "wrong answer",
    "no answer",
    "cut off",
    "no reasoning",
    "tells of the prompt",
    "wrong step",
    "unfounded",
    "repeated",
    "too long",
    "surplus",
    "failed",
]
"""What became of a teacher's reply. Only "kept" ones are studied; "surplus" were right, but enough were kept.
"cut off": the limit of new tokens cut it before its answer.
One that "tells of the prompt" speaks of the hint or of the student's mistake, which the student will never see.
One with a "wrong step" has an equation that does not hold. An "unfounded" one has its answer, or a number it computes
with, from nowhere."""


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Correction:
    """One reply of the teacher about a question, and what became of it (3.2).

    mistake: what the teacher was shown, T(x, r̂, y); None for T(x, null, y).
    text: the reply as it came, or the error when the request failed.
    rationale, answer: what was read from it; the rationale r is as the student is to write it.
    """

    question_id: str
    round: int
    teacher: str
    mistake: Mistake | None
    text: str
    rationale: str
    answer: str | None
    verdict: Verdict


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Variant:
    """A question with other numbers: its text, and its answer in canonical form."""

    text: str
    answer: str


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Triplet:
    """One sample of the lesson (3.3): anchor (x, r, y), positive (x, r⁺, y), negative (x, r̂, ŷ).

    Without a positive or a negative the anchor still trains the language-model loss.
    own: whether the student wrote the anchor itself, and no teacher; of a variant, what it was made from.
    variant: the question as the anchor answers it, where it has other numbers than the question.
    """

    question_id: str
    anchor: str
    positive: str | None
    negative: Mistake | None
    own: bool = False
    variant: Variant | None = None

    def asked(self, question: Question) -> Question:
        """What the sample asks. question: the one that it is about."""
        if self.variant is None:
            return question
        return replace(question, text=self.variant.text, answer=self.variant.answer, rationale=None)


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class Score:
    """Accuracy on a set of questions, with its 95 % Wilson interval; all fractions of 1."""

    accuracy: float
    correct: int
    total: int
    interval: tuple[float, float]


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class StoredQuestion:
    """A question with the split that a run put it into, one line of questions.jsonl."""

    split: SplitName
    question: Question


Record = TypeVar("Record")


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)  # made once: it takes a thousand times as long as using it
    return _ADAPTERS[kind]


def to_json(record: Any) -> str:
    """One line of JSON for a record, without a line end; the key order is the field order."""
    return json.dumps(asdict(record), ensure_ascii=False)


def from_json(kind: type[Record], line: str | bytes | Mapping[str, Any]) -> Record:
    """The record of `kind` in a line of JSON, or in a mapping read from one.

    Raises: pydantic.ValidationError if a field is missing, unknown or of the wrong type.
    """
    adapter = _adapter(kind)
    if isinstance(line, Mapping):
        return adapter.validate_python(dict(line))  # type: ignore[no-any-return]
    return adapter.validate_json(line)  # type: ignore[no-any-return]
