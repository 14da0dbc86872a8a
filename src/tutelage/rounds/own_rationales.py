"""The student's own right attempts, as far as they may be studied.

Source: rejection-sampling fine-tuning (Yuan et al. 2023, arXiv 2308.01825).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tutelage.config import Recipe, TeacherSettings
from tutelage.records import Attempt, Correction, Question, Verdict
from tutelage.rounds.feedback import folded
from tutelage.rounds.flaws import flaw


def own_rationales(
    exams: Sequence[Sequence[Attempt]],
    corrections: Sequence[Correction],
    questions: Mapping[str, Question],
    recipe: Recipe,
) -> list[Attempt]:
    """Of each exam and question the first right attempts that may be studied, up to `exam.own_rationales`.

    Words that a kept correction of the question has, or an attempt that was picked before, count as nothing new.
    exams: the rounds' attempts. corrections: all that the lesson is made from. questions: by their id.
    """
    known: dict[str, set[str]] = defaultdict(set)
    for correction in corrections:
        if correction.verdict == "kept":
            known[correction.question_id].add(folded(correction.rationale))
    picked = []
    for attempts in exams:
        taken = Counter[str]()
        for attempt in attempts:
            name, words = attempt.question_id, folded(attempt.rationale)
            if not attempt.correct or taken[name] >= recipe.exam.own_rationales or words in known[name]:
                continue
            # As with a teacher's: a student that learns to reason for too long never gets to its answer.
            fits = attempt.tokens <= recipe.evaluation.max_new_tokens
            if fits and verdict_on(attempt, questions[name], recipe.teacher) == "kept":
                known[name].add(words)
                taken[name] += 1
                picked.append(attempt)
    return picked


def verdict_on(attempt: Attempt, question: Question, settings: TeacherSettings) -> Verdict:
    """What an attempt is good for, by the rules for a teacher's replies that hold for it."""
    if attempt.answer is None:
        return "no answer" if attempt.finished else "cut off"
    if not attempt.correct:
        return "wrong answer"
    return flaw(attempt.rationale, question, settings) or "kept"
