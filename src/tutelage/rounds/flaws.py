"""What keeps a rationale that comes to the right answer out of a lesson, be it the teacher's or the student's own."""

from __future__ import annotations

from tutelage.config import TeacherSettings
from tutelage.evaluation.steps import check_arithmetic
from tutelage.prompts import mentions_prompt
from tutelage.records import Question, Verdict
from tutelage.rounds.founded import is_founded


def flaw(rationale: str, question: Question, settings: TeacherSettings) -> Verdict | None:
    """The first of a rationale's flaws that a recipe does not let pass; None if it may be studied."""
    if not rationale:
        return "no reasoning"
    if settings.drop_leaks and mentions_prompt(rationale, question):
        return "tells of the prompt"
    if settings.drop_wrong_steps and check_arithmetic(rationale).wrong is not None:
        return "wrong step"
    if settings.drop_unfounded and not is_founded(rationale, question):
        return "unfounded"
    return None
