"""What became of a question, in words to filter by; each has a rule that the page tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tutelage.evaluation.steps import check_arithmetic
from tutelage.records import Attempt
from tutelage.report.gathering.courses import Course

RIGHT = "A student counts as right about a question when more than half of its attempts at it are."
"""Exams are sampled, several attempts a question; an evaluation is one greedy attempt."""


@dataclass(frozen=True, slots=True)
class Status:
    """id: for links; label and rule: for people; holds: whether a course has it, of what `verdicts` says of it."""

    id: str
    label: str
    rule: str
    holds: Callable[[Course, Mapping[int, bool]], bool]


def is_right(attempts: Sequence[Attempt]) -> bool:
    """Whether a student is right about a question, by the rule `RIGHT`."""
    return 2 * sum(attempt.correct for attempt in attempts) > len(attempts)


def answered_right(course: Course) -> dict[int, bool]:
    """By the round of each student that was asked, in order: whether it is right."""
    return {student: is_right(course.answers[student]) for student in sorted(course.answers)}


def all_statuses(students: Sequence[int], rounds: Sequence[int]) -> list[Status]:
    """Those that questions of a run can have. students: the rounds whose students were asked; rounds: that taught."""
    statuses = [_turned(after, right) for after in students if after for right in (True, False)]
    statuses += _LASTING
    statuses += [_teacher_failed(number) for number in rounds]
    return [*statuses, _NEVER_TAUGHT]


def statuses_of(course: Course, among: Sequence[Status]) -> list[int]:
    """The places of those that a question has."""
    right = answered_right(course)
    return [place for place, status in enumerate(among) if status.holds(course, right)]


def _turned(number: int, to: bool) -> Status:
    """Right (wrong) about it is the student of round `number`, and the one of the round before was not.

    A training question is answered in the exams of rounds `number` and `number` + 1, another one in the evaluations of
    rounds `number` - 1 and `number`. One that was not asked of both students never has it.
    """
    now, before = ("right", "wrong") if to else ("wrong", "right")
    rule = (
        f"{now.capitalize()} after the lesson of round {number} and {before} before it: in exams {number + 1} and "
        f"{number} for training questions, in evaluations {number} and {number - 1} for the others."
    )

    def holds(_course: Course, right: Mapping[int, bool]) -> bool:
        return right.get(number) is to and right.get(number - 1) is not to and number - 1 in right

    return Status(f"turned-{now}-{number}", f"turned {now} in round {number}", rule, holds)


def _is_still_wrong(_course: Course, right: Mapping[int, bool]) -> bool:
    return bool(right) and not list(right.values())[-1]


def _was_always_right(_course: Course, right: Mapping[int, bool]) -> bool:
    return bool(right) and all(right.values())


def _never_had_a_right_attempt(course: Course, _right: Mapping[int, bool]) -> bool:
    tried = [attempt for attempts in course.answers.values() for attempt in attempts]
    return bool(tried) and not any(attempt.correct for attempt in tried)


def _went_back_and_forth(_course: Course, right: Mapping[int, bool]) -> bool:
    return sum(before != after for before, after in pairwise(right.values())) > 1


def _last_mistakes(course: Course) -> list[Attempt]:
    return [attempt for attempt in course.answers[max(course.answers)] if not attempt.correct] if course.answers else []


def _miscalculates(course: Course, _right: Mapping[int, bool]) -> bool:
    return any(check_arithmetic(attempt.rationale).wrong for attempt in _last_mistakes(course))


def _gives_no_answer(course: Course, _right: Mapping[int, bool]) -> bool:
    return any(attempt.answer is None for attempt in _last_mistakes(course))


_LASTING = [
    Status("still-wrong", "still wrong", "Wrong the last time that it was asked.", _is_still_wrong),
    Status("always-right", "always right", "Right each time that it was asked.", _was_always_right),
    Status("never-right", "never right", "No attempt of any round was right.", _never_had_a_right_attempt),
    Status("changing", "back and forth", "Turned more than once.", _went_back_and_forth),
    Status(
        "wrong-step",
        "miscalculates",
        "In a wrong attempt of the last time an equation does not hold.",
        _miscalculates,
    ),
    Status("no-answer", "no answer", "In an attempt of the last time no answer could be read.", _gives_no_answer),
]


def _teacher_failed(number: int) -> Status:
    """The teacher was asked about the question in this round, and none of its replies was kept."""

    def holds(course: Course, _right: Mapping[int, bool]) -> bool:
        replies = course.replies.get(number, ())
        return bool(replies) and not any(reply.verdict == "kept" for reply in replies)

    rule = f"The teacher was asked about it in round {number}, and no rationale of it was kept."
    return Status(f"teacher-failed-{number}", f"teacher failed in round {number}", rule, holds)


_NEVER_TAUGHT = Status(
    "never-asked",
    "never asked the teacher",
    "A training question that the teacher was asked about in no round.",
    lambda course, _right: course.split == "train" and not course.replies,
)
