"""How far apart right and wrong reasoning lie for a student, and which of the two it finds likelier (Table 4).

Distance: Euclidean, between the hidden states h of Eq. 3, at the answer's last token; its scale is the model's own, so
it compares students of one architecture alone. Preference: by the likelihood
ratio p(r, y | x) / p(r̂, ŷ | x), the share of pairs in which it is above 1. The paper names the ratio and prints
percentages without a formula; this is the reading that gives them. The whole solution counts, its end token included,
so a shorter text has the better chances: the mean over its tokens is given beside it.

Shapes: N texts, B texts of a batch, T tokens, V vocabulary, D hidden size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from tutelage.errors import DataError
from tutelage.student.loss.separate import at_last, hidden_and_logits
from tutelage.student.model.student import Student, autocast, safetensors_errors
from tutelage.student.text.encoding import Sample, pad
from tutelage.workspace import write_atomically

_BATCH = 4
"""Texts at a time: the logits of one take 100 MB at 500 tokens and 49,000 words."""
_DRAWS = 2000
"""Of the bootstrap."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A right and a wrong solution of one question as tokens. start: the place of the solution in both."""

    question_id: str
    right: Sample
    wrong: Sample
    start: int


@dataclass(frozen=True, slots=True)
class PairReading:
    """What a student makes of a contrast. log_*: log-likelihood of the solution, in nats, its end token included."""

    question_id: str
    distance: float
    cosine: float
    log_right: float
    log_wrong: float
    tokens_right: int
    tokens_wrong: int

    @property
    def log_ratio(self) -> float:
        return self.log_right - self.log_wrong

    @property
    def log_ratio_per_token(self) -> float:
        """Of the mean log-likelihoods of a token."""
        return self.log_right / self.tokens_right - self.log_wrong / self.tokens_wrong


@dataclass(frozen=True, slots=True)
class Readings:
    """All pairs' readings, and the hidden states: right_PD, wrong_PD, float32 on the host, in the pairs' order."""

    pairs: tuple[PairReading, ...]
    right_PD: Tensor
    wrong_PD: Tensor


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over pairs with its 95 % interval: percentile bootstrap over the questions (Efron 1979).

    Over questions, since the pairs of one question are alike.
    """

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Separation:
    """Table 4 for one student; of two students, the second's less the first's.

    preference: share of the pairs whose right solution is likelier as a whole (the paper's), preference_per_token: per
    token. log_ratio, log_ratio_per_token: means of the log-likelihood ratio. cosine: what Eq. 3 pulls down.
    """

    questions: int
    pairs: int
    distance: Estimate
    cosine: Estimate
    preference: Estimate
    preference_per_token: Estimate
    log_ratio: Estimate
    log_ratio_per_token: Estimate


def read_contrasts(student: Student, contrasts: Sequence[Contrast], batch_size: int = _BATCH) -> Readings:
    """What a student makes of each contrast. A text that stands in several is read once; batches are of like lengths.

    Raises: DataError if there are none.
    """
    if not contrasts:
        raise DataError("There is no pair of a right and a wrong solution of the same question to compare.")
    texts = dict.fromkeys((sample, one.start) for one in contrasts for sample in (one.right, one.wrong))
    order = sorted(texts, key=lambda text: -len(text[0].token_ids))
    known: dict[tuple[Sample, int], _Reading] = {}
    was_training = student.model.training
    student.model.eval()
    try:
        for place in range(0, len(order), batch_size):
            batch = order[place : place + batch_size]
            known.update(zip(batch, _read(student, batch), strict=True))
    finally:
        student.model.train(was_training)
    pairs = [(known[one.right, one.start], known[one.wrong, one.start]) for one in contrasts]
    return Readings(
        tuple(_pair(one.question_id, *pair) for one, pair in zip(contrasts, pairs, strict=True)),
        torch.stack([right.state_D for right, _ in pairs]),
        torch.stack([wrong.state_D for _, wrong in pairs]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    state_D: Tensor
    log_likelihood: float
    tokens: int


@torch.no_grad()
def _read(student: Student, texts: Sequence[tuple[Sample, int]]) -> Iterator[_Reading]:
    batch = pad([sample for sample, _ in texts], student.pad_id, student.device)
    with autocast(student.device):
        hidden_BTD, logits_BTV = hidden_and_logits(student, batch)
    state_BD = at_last(hidden_BTD, batch).float().cpu()
    for row, (sample, start) in enumerate(texts):
        end = len(sample.token_ids)
        target_T = batch.token_BT[row, start:end]
        # Each token is predicted at the place before it.
        loss = F.cross_entropy(logits_BTV[row, start - 1 : end - 1].float(), target_T, reduction="sum")
        yield _Reading(state_BD[row], -float(loss), end - start)


def _pair(question_id: str, right: _Reading, wrong: _Reading) -> PairReading:
    return PairReading(
        question_id,
        float(torch.dist(right.state_D, wrong.state_D)),
        float(F.cosine_similarity(right.state_D, wrong.state_D, dim=0)),
        right.log_likelihood,
        wrong.log_likelihood,
        right.tokens,
        wrong.tokens,
    )


_MEASURES = ("distance", "cosine", "preference", "preference_per_token", "log_ratio", "log_ratio_per_token")


def separation(readings: Readings, seed: int = 0) -> Separation:
    """What the readings come to. seed: of the bootstrap."""
    return _separation(readings.pairs, _values(readings), seed)


def separation_gained(first: Readings, second: Readings, seed: int = 0) -> Separation:
    """What the second student has more of than the first, pair by pair; an interval around 0 supports no difference.

    Raises: DataError if they did not read the same pairs.
    """
    if [one.question_id for one in first.pairs] != [one.question_id for one in second.pairs]:
        raise DataError(
            f"The students read different pairs, {len(first.pairs)} and {len(second.pairs)}, so they cannot be "
            "compared. Take the pairs of one run for both."
        )
    return _separation(first.pairs, _values(second) - _values(first), seed)


def _values(readings: Readings) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The measures of each pair, [pairs, measures]; equally likely solutions are half a preference."""
    return np.array(
        [
            [
                pair.distance,
                pair.cosine,
                (np.sign(pair.log_ratio) + 1) / 2,
                (np.sign(pair.log_ratio_per_token) + 1) / 2,
                pair.log_ratio,
                pair.log_ratio_per_token,
            ]
            for pair in readings.pairs
        ]
    )


def _separation(
    pairs: Sequence[PairReading], values: np.ndarray[tuple[int, int], np.dtype[np.float64]], seed: int
) -> Separation:
    names = sorted({pair.question_id for pair in pairs})
    place = {name: number for number, name in enumerate(names)}
    of_question = np.array([place[pair.question_id] for pair in pairs])
    sums, counts = np.zeros((len(names), values.shape[1])), np.bincount(of_question, minlength=len(names))
    np.add.at(sums, of_question, values)
    draws = np.random.default_rng(seed).integers(len(names), size=(_DRAWS, len(names)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)[:, None]
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    estimates = {
        name: Estimate(float(mean), (float(low[column]), float(high[column])))
        for column, (name, mean) in enumerate(zip(_MEASURES, values.mean(axis=0), strict=True))
    }
    return Separation(len(names), len(pairs), **estimates)


def save_states(path: Path, readings: Readings) -> None:
    """Writes the hidden states as safetensors: "right" and "wrong", [pairs, D] float32, with the questions' ids in the
    metadata. Raises: WorkspaceError on a full disk.
    """
    tensors = {"right": readings.right_PD.contiguous(), "wrong": readings.wrong_PD.contiguous()}
    metadata = {"question_ids": json.dumps([pair.question_id for pair in readings.pairs])}

    def write(partial: Path) -> None:
        with safetensors_errors():
            save_file(tensors, partial, metadata)

    write_atomically(path, write)
