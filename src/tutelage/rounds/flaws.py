"""What keeps a rationale that comes to the right answer out of a lesson, be it the teacher's or the student's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tutelage.config import TeacherSettings
from tutelage.evaluation.steps import check_arithmetic
from tutelage.prompts import mentions_prompt
from tutelage.records import Correction, Question, Verdict
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


def count_flaws(corrections: Iterable[Correction], questions: Mapping[str, Question]) -> dict[str, int]:
    """How many kept rationales have a wrong step, are unfounded, or either: where a recipe lets them pass.

    questions: by their id.
    """
    kept = [one for one in corrections if one.verdict == "kept"]
    wrong = [check_arithmetic(one.rationale).wrong is not None for one in kept]
    unfounded = [not is_founded(one.rationale, questions[one.question_id]) for one in kept]
    either = sum(map(max, wrong, unfounded))
    return {"wrong_step": sum(wrong), "unfounded": sum(unfounded), "either": either}
