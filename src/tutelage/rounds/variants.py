"""A lesson's rationales with other numbers: a small student that reasons right still has to learn to compute."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tutelage.progress import say
from tutelage.records import Question, Triplet, Variant
from tutelage.rounds.renumbering import Renumbered, Template, read_template
from tutelage.rounds.run import Run
from tutelage.seeds import derive_seed
from tutelage.tasks.split import question_key


def with_variants(run: Run, triplets: Sequence[Triplet]) -> list[Triplet]:
    """The triplets, each followed by up to `rounds.number_variants` copies of its anchor with other numbers.

    A copy that would read like a question of another split is left out. One says how many there are.
    """
    if not (count := run.recipe.rounds.number_variants):
        return list(triplets)
    others = (question for split in ("test", "held-out") for question in run.questions[split])
    seed = derive_seed(run.recipe.seed, "variants")
    made = make_variants(triplets, {one.id: one for one in run.questions["train"]}, others, count, seed)
    found = sum(triplet.variant is not None for triplet in made)
    say(f"{len(triplets)} rationales of the lesson, and {found} with other numbers")
    return made


def make_variants(
    triplets: Sequence[Triplet],
    questions: Mapping[str, Question],
    others: Iterable[Question],
    count: int,
    seed: int,
) -> list[Triplet]:
    """The triplets, each followed by its variants. questions: by their id. others: that no variant may read like.

    A rationale may be right for its question's own numbers alone: 2 + 2 where 2 * 2 is meant. So one is left as it is
    whose answer for other numbers is not that of most of the question's other rationales.
    """
    taken = {question_key(question.text) for question in others}
    rationales: dict[str, list[str]] = defaultdict(list)
    for triplet in triplets:
        rationales[triplet.question_id].append(triplet.anchor)
    templates = {
        question_id: {anchor: read_template(questions[question_id], anchor) for anchor in dict.fromkeys(anchors)}
        for question_id, anchors in rationales.items()
    }
    made = []
    for triplet in triplets:
        made.append(triplet)
        template = templates[triplet.question_id][triplet.anchor]
        if template is None:
            continue
        rivals = [one for one in templates[triplet.question_id].values() if one is not None and one is not template]
        draw = random.Random(derive_seed(seed, triplet.question_id, triplet.anchor))  # noqa: S311 - a lesson
        for one in _fill(template, rivals, taken, draw, count):
            asked = Variant(one.text, one.answer)
            made.append(Triplet(triplet.question_id, one.rationale, None, None, triplet.own, asked))
    return made


def _fill(
    template: Template, rivals: Sequence[Template], taken: set[str], draw: random.Random, count: int
) -> list[Renumbered]:
    """Up to so many different fillings. None if most rivals that can tell come to another answer."""
    found: dict[str, Renumbered] = {}
    for _ in range(2 * count):
        if len(found) == count or (filled := template.fill(draw)) is None:
            break
        told = [answer for rival in rivals if (answer := rival.answer_for(filled.numbers)) is not None]
        if 2 * sum(answer == filled.answer for answer in told) < len(told):
            return []
        if (key := question_key(filled.text)) not in taken:
            found.setdefault(key, filled)
    return list(found.values())
