"""The lesson: triplets of a right rationale, another one, and a mistake (3.3)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from tutelage.records import Correction, Mistake, Triplet
from tutelage.rounds.exam import mistakes
from tutelage.rounds.feedback import check_no_test_question, feedback
from tutelage.rounds.run import Run
from tutelage.seeds import derive_seed
from tutelage.workspace import read_records, write_records


def lesson(run: Run, number: int) -> list[Triplet]:
    """A round's lesson, from its own corrections (Table 5) or, if the recipe says so, from those of all rounds.

    Writes lesson.jsonl. Done already: reads it.
    """
    path = run.round(number).lesson
    if path.is_file():
        return read_records(path, Triplet)
    first = 1 if run.recipe.rounds.data == "all rounds" else number
    corrections = [correction for earlier in range(first, number + 1) for correction in feedback(run, earlier)]
    made = [mistake for earlier in range(first, number + 1) for mistake in mistakes(run, earlier)]
    triplets = make_triplets(corrections, made, derive_seed(run.recipe.seed, "lesson", number))
    check_no_test_question(run, [triplet.question_id for triplet in triplets])
    triplets = in_order(run, triplets)
    write_records(path, triplets)
    return triplets


def in_order(run: Run, triplets: Sequence[Triplet]) -> list[Triplet]:
    """Question by question, as the training questions come; those of one question as they were."""
    order = {question.id: place for place, question in enumerate(run.questions["train"])}
    return sorted(triplets, key=lambda triplet: order[triplet.question_id])


def make_triplets(corrections: Sequence[Correction], made: Sequence[Mistake], seed: int) -> list[Triplet]:
    """Every kept rationale once as the anchor, with another of its question as the positive, drawn, and one of the
    question's mistakes as the negative, each taken once before any is taken twice; None where there is none.
    """
    rationales: dict[str, list[str]] = defaultdict(list)
    for correction in corrections:
        if correction.verdict == "kept" and correction.rationale not in rationales[correction.question_id]:
            rationales[correction.question_id].append(correction.rationale)
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
            triplets.append(Triplet(question_id, anchor, positive, negative))
    return triplets
