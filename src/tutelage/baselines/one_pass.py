"""One lesson, one study, no exam: what the baselines have in common that the student learns from once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tutelage.errors import DataError
from tutelage.records import Triplet
from tutelage.rounds.evaluate import evaluate
from tutelage.rounds.feedback import check_no_test_question, feedback
from tutelage.rounds.learn import decision_after, hand_over, nothing_to_teach, timed
from tutelage.rounds.lesson import in_order, make_triplets
from tutelage.rounds.run import Run
from tutelage.rounds.study import Encode, study
from tutelage.rounds.variants import with_variants
from tutelage.seeds import derive_seed
from tutelage.workspace import read_records, write_records


def one_pass(
    run: Run,
    make_lesson: Callable[[Run], list[Triplet]],
    encode: Encode | None = None,
    test: Callable[[Run, int], dict[str, Any]] = evaluate,
) -> None:
    """Round 1 without an exam; like after any round, the student is kept that does better on the held-out part.

    make_lesson: called unless the lesson is there already. encode: as for `study`. test: as `evaluate`.
    Raises: DataError if there is nothing to learn from.
    """
    place = run.round(1)
    timed(run, 0, "evaluation", lambda: test(run, 0))
    if not place.lesson.is_file():
        triplets = make_lesson(run)
        check_no_test_question(run, [triplet.question_id for triplet in triplets])
        write_records(place.lesson, triplets)
    if not read_records(place.lesson, Triplet):
        raise DataError(f"There is nothing to learn from: {place.lesson} is empty. Try another teacher or task.")
    timed(run, 1, "study", lambda: study(run, 1, encode=encode))
    timed(run, 1, "evaluation", lambda: test(run, 1))
    hand_over(run, decision_after(run, 1), 1)


def lesson_of_one_pass(run: Run) -> list[Triplet]:
    """Every right rationale of one pass of the teacher over the training questions, T(x, null, y); no mistakes."""
    corrections = timed(run, 1, "feedback", lambda: feedback(_without_exam(run), 1))
    triplets = make_triplets(corrections, [], derive_seed(run.recipe.seed, "lesson", 1))
    if not triplets:
        raise nothing_to_teach(run, corrections)
    return with_variants(run, in_order(run, triplets))


def _without_exam(run: Run) -> Run:
    """The same run, where no exam tells which questions are hard: the teacher is asked alike about all of them."""
    recipe = run.recipe.for_round(1)
    teacher = recipe.teacher.model_copy(update={"hard_replies": None})
    return replace(run, recipe=recipe.model_copy(update={"teacher": teacher, "first_teacher": None}))
