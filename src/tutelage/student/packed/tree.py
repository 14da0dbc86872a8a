"""A batch of the lesson as a tree of prefixes: what several texts begin with stands there once.

    [demonstrations] [x1][r1][r1+][r1-] [x2][r2][r2+][r2-] ...

A token attends to its ancestors only (what all texts begin with, its question, its own branch), and its position
counts along its own path. Cut at tokens, never at text: a cut text merges its tokens differently.

The first token of a branch is predicted from the last one of its parent, so predictions are pairs of places
(source, target), not labels shifted by one.

Shapes: N tokens of the pack, M predictions, K whole triplets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.student.loss.separate import LessonSample
from tutelage.student.text.encoding import Sample


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens that follow each other in the pack and share one past.

    start, end: their places in the pack. parent: the segment before them on their path, None for the first.
    depth: the position of their first token on their path.
    """

    start: int
    end: int
    parent: Segment | None
    depth: int

    @property
    def length(self) -> int:
        return self.end - self.start

    def places(self) -> NDArray[np.int64]:
        """Where in the pack the tokens of this segment's path stand, from the first of the text to its own last."""
        own = np.arange(self.start, self.end)
        return own if self.parent is None else np.concatenate([self.parent.places(), own])


@dataclass(frozen=True, slots=True)
class Tree:
    """The pack. token_N, position_N, source_M, target_M, state_K3: int64; weight_M: float32.

    segments: in the pack's order, a parent before its children and each question's beside each other; the first one
        is what all texts begin with.
    source_M, target_M, weight_M: each prediction of L_lm: the place it is made at, the token it should be, and how
        much it weighs. What samples share weighs as often as they are.
    weight: sum of the weights. state_K3: places where h, h⁺ and h⁻ are read. longest: tokens of the longest text.
    """

    token_N: Tensor
    position_N: Tensor
    segments: tuple[Segment, ...]
    source_M: Tensor
    target_M: Tensor
    weight_M: Tensor
    weight: float
    state_K3: Tensor
    longest: int


class _Predictions(NamedTuple):
    source_M: NDArray[np.int64]
    target_M: NDArray[np.int64]
    weight_M: NDArray[np.float64]


def plant(samples: Sequence[LessonSample]) -> Tree:
    """The samples of a batch as one tree; there is at least one."""
    texts = [text.token_ids for sample in samples for text in branches(sample)]
    root = Segment(0, common_prefix(texts), None, 0)
    tokens: list[int] = list(texts[0][: root.end])
    segments, leaves = [root], []
    for sample in samples:
        grown = _grow(root, [text.token_ids for text in branches(sample)], tokens)
        segments += grown
        leaves.append(grown[-len(branches(sample)) :])
    predicted = _predictions(samples, root, [grown[0] for grown in leaves])
    position_N = np.concatenate([np.arange(one.depth, one.depth + one.length) for one in segments])
    states = [
        [int(leaf.places()[text.last]) for leaf, text in zip(grown, branches(sample), strict=True)]
        for sample, grown in zip(samples, leaves, strict=True)
        if sample.is_triplet
    ]
    return Tree(
        torch.tensor(tokens),
        torch.from_numpy(position_N),
        tuple(segments),
        torch.from_numpy(predicted.source_M),
        torch.from_numpy(predicted.target_M),
        torch.from_numpy(predicted.weight_M).float(),
        float(predicted.weight_M.sum()),
        torch.tensor(states, dtype=torch.int64).reshape(-1, 3),
        max(map(len, texts)),
    )


def branches(sample: LessonSample) -> tuple[Sample, ...]:
    """The texts of a sample that a loss reads: anchor, positive and negative, or the anchor alone."""
    if sample.positive is None or sample.negative is None:
        return (sample.anchor,)
    return (sample.anchor, sample.positive, sample.negative)


def common_prefix(texts: Sequence[tuple[int, ...]]) -> int:
    """The number of tokens that all texts begin with; one at least is left to each."""
    low, high = min(texts), max(texts)  # what these two share, all between them do
    same = next((place for place, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))
    return min(same, min(map(len, texts)) - 1)


def _grow(root: Segment, texts: Sequence[tuple[int, ...]], tokens: list[int]) -> list[Segment]:
    """Appends what the texts of one question add to the root; the segments, those of the texts' ends last."""
    if len(texts) == 1:
        return [_append(root, texts[0], len(texts[0]), tokens)]
    question = _append(root, texts[0], common_prefix(texts), tokens)
    return [question, *(_append(question, text, len(text), tokens) for text in texts)]


def _append(parent: Segment, text: Sequence[int], end: int, tokens: list[int]) -> Segment:
    depth = parent.depth + parent.length
    start = len(tokens)
    tokens.extend(text[depth:end])
    return Segment(start, len(tokens), parent, depth)


def _predictions(samples: Sequence[LessonSample], root: Segment, anchors: Sequence[Segment]) -> _Predictions:
    """All tokens of the anchors that weigh anything and have one before them."""
    first = max(root.end, 1)  # the first token that is not the root's; the very first of a text is never predicted
    shared_T = np.sum([sample.anchor.weights[1:first] for sample in samples], axis=0)
    parts = [(np.arange(first - 1), np.array(samples[0].anchor.token_ids[1:first]), shared_T)]
    for sample, leaf in zip(samples, anchors, strict=True):
        token_ids, weights = sample.anchor.token_ids, sample.anchor.weights
        parts.append((leaf.places()[first - 1 : -1], np.array(token_ids[first:]), np.array(weights[first:])))
    source_M, target_M, weight_M = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    read_M = weight_M > 0
    return _Predictions(source_M[read_M].astype(np.int64), target_M[read_M].astype(np.int64), weight_M[read_M])
