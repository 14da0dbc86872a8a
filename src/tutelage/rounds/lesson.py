"""The lesson: triplets of a right rationale, another one, and a mistake (3.3)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from tutelage.records import Attempt, Correction, Mistake, Triplet
from tutelage.rounds.exam import exam, mistakes
from tutelage.rounds.feedback import check_no_test_question, feedback
from tutelage.rounds.own_rationales import own_rationales
from tutelage.rounds.run import Run
from tutelage.rounds.variants import with_variants
from tutelage.seeds import derive_seed
from tutelage.workspace import read_records, write_records


def lesson(run: Run, number: int) -> list[Triplet]:
    """A round's lesson, from its own corrections (Table 5) or, if the recipe says so, from those of all rounds.

    With exam.own_rationales the student's own right attempts of these rounds' exams are studied beside them, and with
    rounds.number_variants all of it with other numbers, too.
    Writes lesson.jsonl. Done already: reads it.
    """
    path = run.round(number).lesson
    if path.is_file():
        return read_records(path, Triplet)
    first = 1 if run.recipe.rounds.data == "all rounds" else number
    rounds = range(first, number + 1)
    corrections = [correction for earlier in rounds for correction in feedback(run, earlier)]
    made = [mistake for earlier in rounds for mistake in mistakes(run, earlier)]
    own: list[Attempt] = []
    if run.recipe.exam.own_rationales:
        questions = {question.id: question for question in run.questions["train"]}
        own = own_rationales([exam(run, earlier) for earlier in rounds], corrections, questions, run.recipe)
    triplets = make_triplets(corrections, made, derive_seed(run.recipe.seed, "lesson", number), own)
    check_no_test_question(run, [triplet.question_id for triplet in triplets])
    triplets = with_variants(run, in_order(run, triplets))
    write_records(path, triplets)
    return triplets


def in_order(run: Run, triplets: Sequence[Triplet]) -> list[Triplet]:
    """Question by question, as the training questions come; those of one question as they were."""
    order = {question.id: place for place, question in enumerate(run.questions["train"])}
    return sorted(triplets, key=lambda triplet: order[triplet.question_id])


def make_triplets(
    corrections: Sequence[Correction], made: Sequence[Mistake], seed: int, own: Sequence[Attempt] = ()
) -> list[Triplet]:
    """Every kept rationale once as the anchor, with another of its question as the positive, drawn, and one of the
    question's mistakes as the negative, each taken once before any is taken twice; None where there is none.

    own: right attempts of the student whose rationales count as kept ones.
    """
    rationales: dict[str, list[str]] = defaultdict(list)
    for correction in corrections:
        if correction.verdict == "kept" and correction.rationale not in rationales[correction.question_id]:
            rationales[correction.question_id].append(correction.rationale)
    students = {(attempt.question_id, attempt.rationale) for attempt in own}
    for attempt in own:
        rationales[attempt.question_id].append(attempt.rationale)
    negatives: dict[str, list[Mistake]] = defaultdict(list)
    for mistake in made:
        if mistake not in negatives[mistake.question_id]:
            negatives[mistake.question_id].append(mistake)
    triplets = []
    for question_id, anchors in rationales.items():
        draw = random.Random(derive_seed(seed, question_id))  # noqa: S311 - a lesson, not a secret
        wrong = draw.sample(negatives[question_id], len(negatives[question_id]))
        for place, anchor in enumerate(anchors):
            others = [other for other in anchors if other != anchor]
            positive = draw.choice(others) if others else None
            negative = wrong[place % len(wrong)] if wrong else None
            triplets.append(Triplet(question_id, anchor, positive, negative, (question_id, anchor) in students))
    return triplets
