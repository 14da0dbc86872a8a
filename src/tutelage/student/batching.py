"""The order of study: batches that hold no question twice (3.3)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence


def plan_epoch(question_ids: Sequence[str], batch_size: int, seed: int) -> list[list[int]]:
    """Every sample's index once, in batches of at most `batch_size` samples of different questions.

    There are as few batches as that allows: more than the samples fill only where one question has more
    samples than that. Sizes differ by one at most, so no step rests on a small remainder.
    """
    samples_of: dict[str, list[int]] = defaultdict(list)
    for index, question_id in enumerate(question_ids):
        samples_of[question_id].append(index)
    if not samples_of:
        return []
    most = max(len(indices) for indices in samples_of.values())
    batches: list[list[int]] = [[] for _ in range(max(-(-len(question_ids) // batch_size), most))]
    draw = random.Random(seed)  # noqa: S311 - an order, not a secret
    groups = list(samples_of.values())
    draw.shuffle(groups)
    for indices in groups:
        # A question's samples go to the emptiest batches, a different one each: then sizes never differ
        # by more than one, and the count above is always enough.
        emptiest = sorted(batches, key=lambda batch: (len(batch), draw.random()))
        for index, batch in zip(draw.sample(indices, len(indices)), emptiest, strict=False):
            batch.append(index)
    draw.shuffle(batches)
    return batches
