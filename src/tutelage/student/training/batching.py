"""The order of study: batches that hold no question twice (3.3)."""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Sequence


def count_batches(question_ids: Sequence[str], batch_size: int) -> int:
    """How many batches `plan_epoch` makes."""
    return max(-(-len(question_ids) // batch_size), *Counter(question_ids).values(), 0)


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
    batches: list[list[int]] = [[] for _ in range(count_batches(question_ids, batch_size))]
    draw = random.Random(seed)  # noqa: S311 - an order, not a secret
    # A heap of (size, tie-break, place): sorting all batches anew for each question takes seconds on GSM8K.
    heap = [(0, draw.random(), place) for place in range(len(batches))]
    heapq.heapify(heap)
    groups = list(samples_of.values())
    draw.shuffle(groups)
    for indices in groups:
        # A question's samples go to the emptiest batches, a different one each: then sizes never differ
        # by more than one, and the count above is always enough.
        emptiest = [heapq.heappop(heap) for _ in indices]
        for index, (size, _, place) in zip(draw.sample(indices, len(indices)), emptiest, strict=True):
            batches[place].append(index)
            heapq.heappush(heap, (size + 1, draw.random(), place))
    draw.shuffle(batches)
    return batches
