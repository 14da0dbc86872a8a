"""The course of a question through a run: how each round's student answered it, and what it was taught in between.

A student is known by its round, 0 the untrained one. Training questions are answered by a student in the exam of the
round after it, several times; the questions of the other splits in its evaluation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tutelage.records import Attempt, Correction, Question, SplitName, StoredQuestion, Triplet
from tutelage.report.reading import Reading

Record = TypeVar("Record", Attempt, Correction, Triplet)


@dataclass(frozen=True, slots=True)
class Course:
    """answers: by the student's round; replies, lesson: by the round that they belong to. Absent: no record of it."""

    split: SplitName
    question: Question
    answers: Mapping[int, Sequence[Attempt]]
    replies: Mapping[int, Sequence[Correction]]
    lesson: Mapping[int, Sequence[Triplet]]


@dataclass(frozen=True, slots=True)
class Courses:
    """Of all questions, in the run's order. students: the rounds whose students answered any; rounds: that taught."""

    courses: Sequence[Course]
    students: Sequence[int]
    rounds: Sequence[int]


@dataclass(slots=True)
class _Gathered:
    """By question and round, while files are read."""

    answers: dict[str, dict[int, list[Attempt]]] = field(default_factory=lambda: defaultdict(dict))
    replies: dict[str, dict[int, list[Correction]]] = field(default_factory=lambda: defaultdict(dict))
    lesson: dict[str, dict[int, list[Triplet]]] = field(default_factory=lambda: defaultdict(dict))


def read_courses(reading: Reading) -> Courses:
    """From a run's folder, whatever there is of it; what is damaged is noted in `reading`."""
    gathered, numbers = _Gathered(), reading.rounds()
    for number in numbers:
        _read_round(reading, number, gathered)
    courses = [
        Course(
            one.split,
            one.question,
            gathered.answers.get(one.question.id, {}),
            gathered.replies.get(one.question.id, {}),
            gathered.lesson.get(one.question.id, {}),
        )
        for one in reading.lines(reading.workspace.questions, StoredQuestion) or ()
    ]
    students = sorted({student for course in courses for student in course.answers})
    rounds = sorted({number for course in courses for number in (*course.replies, *course.lesson)})
    return Courses(courses, students, rounds)


def _read_round(reading: Reading, number: int, gathered: _Gathered) -> None:
    files = reading.round(number)
    _sort_in(gathered.answers, number, reading.lines(files.answers, Attempt))
    if number:  # before round 1 nothing is taught
        _sort_in(gathered.answers, number - 1, reading.lines(files.exam, Attempt))
        _sort_in(gathered.replies, number, reading.lines(files.feedback, Correction))
        _sort_in(gathered.lesson, number, reading.lines(files.lesson, Triplet))


def _sort_in(into: dict[str, dict[int, list[Record]]], number: int, records: Iterable[Record] | None) -> None:
    for record in records or ():
        into[record.question_id].setdefault(number, []).append(record)
