"""Seeded draws: each sequence has random numbers of its own, so its neighbours in the batch do not matter.

Shapes: R sequences, N new tokens, V tokens of the vocabulary, K of them left to draw from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens.

    temperature: above 0. top_k: only the likeliest k tokens. top_p: only the likeliest tokens that together have
    at least this probability (of what top_k leaves). max_new_tokens: where an unfinished sequence is cut.
    """

    temperature: float
    top_k: int | None
    top_p: float | None
    max_new_tokens: int

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; for greedy answers take Greedy")


@dataclass(frozen=True, slots=True)
class Greedy:
    """Takes the likeliest token each time. max_new_tokens: where an unfinished sequence is cut."""

    max_new_tokens: int


Drawing = Sampling | Greedy
"""How tokens are chosen."""


def uniform_numbers(keys: Sequence[tuple[int, int]], length: int) -> Tensor:
    """Numbers from [0, 1), float64 [len(keys), length]: a row for each seed and sample, of a generator of its own."""
    rows = [np.random.default_rng(key).random(length) for key in keys]
    return torch.from_numpy(np.array(rows).reshape(len(keys), length))


class SeededDraw(LogitsProcessor):
    """Draws each sequence's next token with its own uniform number, and leaves it as the one with the best score.

    `generate` then takes it greedily. The cumulative probabilities run in the order of the token ids, not of the
    probabilities: so rounding that swaps two tokens of nearly the same probability moves no border but theirs.
    """

    def __init__(self, sampling: Sampling, uniform_RN: Tensor, prompt_length: int) -> None:
        self._sampling = sampling
        self._uniform_RN = uniform_RN
        self._prompt_length = prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores: logits, float32 [R, V]; comes back with +inf at the drawn tokens."""
        uniform_R = self._uniform_RN[:, input_ids.shape[1] - self._prompt_length]
        token_R = draw(scores, uniform_R, self._sampling)
        return scores.scatter(1, token_R[:, None], torch.inf)


def choose(logits_RV: Tensor, uniform_R: Tensor, drawing: Drawing) -> Tensor:
    """The next tokens, int64 [R]. uniform_R: float64, read only if they are drawn. No host waits for a device here."""
    if isinstance(drawing, Greedy):
        return logits_RV.argmax(-1)
    return draw(logits_RV, uniform_R, drawing)


def draw(logits_RV: Tensor, uniform_R: Tensor, sampling: Sampling) -> Tensor:
    """The tokens that the uniform numbers pick by the inverse of the distribution function, int64 [R]."""
    logits_RK, token_RK = _candidates(logits_RV, sampling)
    cumulative_RK = logits_RK.double().softmax(-1).cumsum(-1)
    # Rounding may leave the total just below 1, and the draw must not fall behind it.
    target_R1 = (uniform_R * cumulative_RK[:, -1])[:, None]
    place_R1 = torch.searchsorted(cumulative_RK, target_R1, right=True).clamp(max=cumulative_RK.shape[1] - 1)
    return place_R1[:, 0] if token_RK is None else token_RK.gather(1, place_R1)[:, 0]


def _candidates(logits_RV: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor | None]:
    """The logits to draw from, at the temperature, and their tokens in ascending order; None for all tokens."""
    if sampling.top_k is None and sampling.top_p is None:
        return logits_RV.float() / sampling.temperature, None
    vocabulary = logits_RV.shape[1]
    # No temperature changes who is likeliest, so of a large vocabulary only what is kept is copied.
    logits_RK, token_RK = logits_RV.topk(min(sampling.top_k or vocabulary, vocabulary), dim=-1)
    logits_RK = logits_RK.float() / sampling.temperature
    if sampling.top_p is not None:
        probability_RK = logits_RK.softmax(-1)
        before_RK = probability_RK.cumsum(-1) - probability_RK
        logits_RK = logits_RK.masked_fill(before_RK >= sampling.top_p, -torch.inf)
    token_RK, order_RK = token_RK.sort(dim=-1)
    return logits_RK.gather(1, order_RK), token_RK
