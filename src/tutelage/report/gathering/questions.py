"""The questions of a run: a table to search and filter, and for each question the story of its course."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tutelage.records import Attempt
from tutelage.report.gathering import Section
from tutelage.report.gathering.courses import Course, Courses, read_courses
from tutelage.report.gathering.packing import pack, packable
from tutelage.report.gathering.prompts import read_prompts
from tutelage.report.gathering.statuses import RIGHT, all_statuses, answered_right, statuses_of
from tutelage.report.gathering.stories import SHORT, VERDICTS, tell
from tutelage.report.reading import Reading

LIMIT = 22_000_000
"""Bytes of the table and all stories; with its charting library and the other sections the page stays under 25 MB."""


def gather(reading: Reading, limit: int | None = None) -> Section | None:
    """The table, and in chunks "questions-0", "questions-1", ... the stories. None if no question can be read.

    limit: left out, it is `LIMIT`.
    """
    found = read_courses(reading)
    if not found.courses:
        return None
    prompts = read_prompts(reading)
    statuses = all_statuses(found.students, found.rounds)
    held, stories = list[list[int]](), list[str]()
    for course in found.courses:
        held.append(statuses_of(course, statuses))
        stories.append(packable(tell(course, prompts)))
    rows = [_row(course, found, has) for course, has in zip(found.courses, held, strict=True)]
    table: dict[str, Any] = {
        "rule": RIGHT,
        "students": list(found.students),
        "statuses": [{"id": status.id, "label": status.label, "rule": status.rule} for status in statuses],
        "verdicts": dict(VERDICTS),
        "shared": list(prompts.shared),
        "folder": str(reading.folder),
    }
    room = (LIMIT if limit is None else limit) - len(
        json.dumps([table, rows], ensure_ascii=False).encode("utf-8", "replace")
    )
    packed = pack(stories, [_dullness(course) for course in found.courses], room)
    table |= {
        "chunks": len(packed.chunks),
        "left_out": packed.places.count(None),
        "rows": [[*row, chunk] for row, chunk in zip(rows, packed.places, strict=True)],
    }
    return Section(table, {f"questions-{number}": chunk for number, chunk in enumerate(packed.chunks)})


def _row(course: Course, found: Courses, statuses: Sequence[int]) -> list[Any]:
    """One line of the table, but for its story's chunk.

    Of each student: how many of its attempts are right, of how many; null if it was not asked.
    """
    question = course.question
    text = question.text if len(question.text) <= SHORT else question.text[:SHORT] + "…"
    shares = [_share(course.answers.get(student)) for student in found.students]
    return [question.id, course.split, text, question.answer, _last_answer(course), shares, statuses]


def _share(attempts: Sequence[Attempt] | None) -> list[int] | None:
    return None if not attempts else [sum(attempt.correct for attempt in attempts), len(attempts)]


def _last_answer(course: Course) -> str | None:
    """The answer that the last student gave most often; None if it gave none that can be read."""
    if not course.answers:
        return None
    said = Counter(attempt.answer for attempt in course.answers[max(course.answers)])
    return said.most_common(1)[0][0]


def _dullness(course: Course) -> int:
    """How little there is to see in a course, for when not all stories fit."""
    right = answered_right(course)
    if all(right.values()):
        return 3
    if any(before != after for before, after in pairwise(right.values())):
        return 0
    return 1 if course.replies else 2
