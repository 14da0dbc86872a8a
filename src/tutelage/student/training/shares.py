"""A global batch shared out among the ranks, by work and not by count."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

from tutelage import distributed
from tutelage.student.loss.separate import LessonSample
from tutelage.student.packed.tree import branches, common_prefix


def own_micro_batches(
    samples: Sequence[LessonSample], size: int, same_number: bool = False
) -> list[list[LessonSample]]:
    """This rank's part of a batch, in micro-batches of so many samples at most.

    same_number: every rank has as many micro-batches, if need be of a sample that weighs nothing.
    """
    parts = share_out(samples, distributed.world_size())
    ordered = by_length(parts[distributed.rank()])
    own = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    if same_number:
        most = max(-(-len(part) // size) for part in parts)
        own += [[_weightless(samples[0])]] * (most - len(own))
    return own


def by_length(samples: Sequence[LessonSample]) -> list[LessonSample]:
    """Samples of similar length together: separate passes pad them."""
    return sorted(samples, key=lambda sample: len(sample.anchor.source_ids) + len(sample.anchor.token_ids))


def _weightless(sample: LessonSample) -> LessonSample:
    anchor = replace(sample.anchor, weights=(0.0,) * len(sample.anchor.weights))
    return LessonSample(sample.question_id, anchor, None, None)


def share_out(samples: Sequence[LessonSample], ranks: int) -> list[list[LessonSample]]:
    """Every rank's part of a batch, by rank; some are empty where there are fewer samples than ranks.

    The longest sample first, each to whoever has least so far: every rank comes to the same without being told.
    """
    if ranks == 1 or not samples:
        return [list(samples), *([] for _ in range(ranks - 1))]
    work = _work(samples)
    parts: list[list[int]] = [[] for _ in range(ranks)]
    idle = [(0, rank) for rank in range(ranks)]
    for place in sorted(range(len(samples)), key=lambda place: (-work[place], place)):
        load, rank = heapq.heappop(idle)
        parts[rank].append(place)
        heapq.heappush(idle, (load + work[place], rank))
    return [[samples[place] for place in sorted(part)] for part in parts]


def _work(samples: Sequence[LessonSample]) -> list[int]:
    """The tokens that each sample adds to a pack of all of them, and those that an encoder reads for it."""
    shared = common_prefix([sample.anchor.token_ids for sample in samples])
    tokens = []
    for sample in samples:
        texts = [text.token_ids for text in branches(sample)]
        before = common_prefix(texts)
        added = before - shared + sum(len(text) - before for text in texts)
        tokens.append(max(1, added + len(sample.anchor.source_ids)))
    return tokens
