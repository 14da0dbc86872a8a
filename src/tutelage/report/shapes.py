"""What the report asks of a run's JSON files. Any key may be absent; more keys are kept.

JSON has no NaN and no Infinity, but Python writes them: only a study may have them, whose loss can overflow.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

_MORE = ConfigDict(extra="allow", allow_inf_nan=False)
_MORE_OR_NAN = ConfigDict(extra="allow")


@with_config(_MORE)
class ScoreShape(TypedDict, total=False):
    """An accuracy with its interval, as `records.Score` writes it."""

    accuracy: float
    correct: int
    total: int
    interval: tuple[float, float]


@with_config(_MORE)
class Evaluation(ScoreShape, total=False):
    """round-N/evaluation.json: the test's score, with that of the held-out part."""

    held_out: ScoreShape


@with_config(_MORE)
class Outcome(TypedDict, total=False):
    """outcome.json."""

    best_round: int
    last_round: int
    reason: str
    test: ScoreShape


@with_config(_MORE)
class Event(TypedDict, total=False):
    """A line of journal.jsonl."""

    time: str
    event: str
    round: int
    stage: str
    seconds: float


@with_config(_MORE_OR_NAN)
class Step(TypedDict, total=False):
    """A line of round-N/training.jsonl."""

    step: int
    epoch: int
    loss: float
    lm_loss: float
    triplet_loss: float
    gradient_norm: float
    learning_rate: float


@with_config(_MORE)
class Exam(TypedDict, total=False):
    """What round.json has of the exam."""

    questions: int
    attempts: int
    error_rate: float
    unreadable: int
    questions_with_mistake: int
    mistakes: int


@with_config(_MORE)
class Feedback(TypedDict, total=False):
    """What round.json has of the teacher."""

    requests: int
    tailored: int
    successes: int
    replies: int
    rationales: int
    verdicts: dict[str, int]
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: str | None


@with_config(_MORE_OR_NAN)
class Study(TypedDict, total=False):
    """What round.json has of the study."""

    steps: int
    epochs: int
    tokens: int
    lm_loss: float | None
    triplet_loss: float | None


@with_config(_MORE)
class Summary(TypedDict, total=False):
    """round-N/round.json."""

    round: int
    teacher: str | None
    exam: Exam
    feedback: Feedback
    lesson: dict[str, Any]
    study: Study


@with_config(_MORE)
class TeacherScore(TypedDict, total=False):
    """teacher.json: the teacher's own accuracy on the run's test questions; None, with the reason, if it has none."""

    teacher: str
    accuracy: float | None
    reason: str
    correct: int
    total: int
    interval: tuple[float, float]
