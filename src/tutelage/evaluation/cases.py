"""Case studies (Tables 2, 13 and 14): questions that turned right, and those that turned wrong, picked by rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tutelage.evaluation.picking import RULE, pick
from tutelage.progress import plain
from tutelage.prompts import question_text
from tutelage.records import Attempt, Correction, Question


@dataclass(frozen=True, slots=True)
class Case:
    """One question on its way. before: the student's attempts; correction: what the teacher wrote in between."""

    question: Question
    before: tuple[Attempt, ...]
    correction: Correction | None
    after: Attempt


@dataclass(frozen=True, slots=True)
class CaseStudy:
    """Cases of one kind, with what they are picked from.

    looked_at: questions of which it was seen whether they turn; turned: those that did, of which `cases` are picked.
    rule: how, in words.
    """

    title: str
    rule: str
    looked_at: int
    turned: int
    cases: tuple[Case, ...]


def case_study(
    title: str, among: str, looked_at: Iterable[Case], turned: Callable[[Case], bool], count: int
) -> CaseStudy:
    """`count` of the cases that turned, by the rule of `picking`. among: which questions are looked at, in words."""
    seen = list(looked_at)
    found = [case for case in seen if turned(case)]
    rule = f"{among}; of those that turned {RULE}"
    return CaseStudy(title, rule, len(seen), len(found), tuple(pick(found, count, lambda case: case.question.id)))


def cases_markdown(studies: Sequence[CaseStudy]) -> str:
    """Case studies for people. What models wrote stands in fences that it cannot end, its control characters spelt."""
    parts = []
    for study in studies:
        parts.append(f"## {_inline(study.title)}")
        parts.append(
            f"Picked by rule: {_inline(study.rule)}. {study.turned} of {study.looked_at} questions turned; "
            f"{len(study.cases)} shown."
        )
        for case in study.cases:
            parts += _case(case)
    return "\n\n".join(parts) + "\n"


def _case(case: Case) -> list[str]:
    question = case.question
    right = sum(attempt.correct for attempt in case.before)
    shown = next((attempt for attempt in case.before if _is_shown(attempt, case.correction)), case.before[0])
    parts = [
        f"### {_inline(question.id)}",
        _fenced(question_text(question.text, question.choices) + f"\nRight answer: {question.answer}"),
        f"Before ({right} of {len(case.before)} attempts right):",
        _attempt(shown),
    ]
    if case.correction is not None:
        seen = "" if case.correction.mistake is not None else ", not shown the attempt"
        parts += [f"The teacher ({_inline(case.correction.teacher)}{seen}):"]
        parts += [_fenced(_solution(case.correction.rationale, case.correction.answer))]
    return [*parts, f"Afterwards ({'right' if case.after.correct else 'wrong'}):", _attempt(case.after)]


def _is_shown(attempt: Attempt, correction: Correction | None) -> bool:
    """Whether it is the attempt that the teacher saw."""
    mistake = None if correction is None else correction.mistake
    return mistake is not None and (attempt.rationale, attempt.answer) == (mistake.rationale, mistake.answer)


def _attempt(attempt: Attempt) -> str:
    return _fenced(_solution(attempt.rationale, attempt.answer))


def _solution(rationale: str, answer: str | None) -> str:
    return f"{rationale or '(nothing)'}\nAnswer: {'none that can be read' if answer is None else answer}"


def _fenced(text: str) -> str:
    """Text as it is, between marks longer than any in it."""
    text = plain(text)
    marks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{marks}text\n{text}\n{marks}"


def _inline(text: str) -> str:
    """Text within a line, where nothing in it is Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]#+!|<>~&])", r"\\\1", " ".join(plain(text).split()))
