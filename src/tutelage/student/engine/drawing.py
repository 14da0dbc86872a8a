"""Seeded draws: each sequence has random numbers of its own, so its neighbours in the batch do not matter.

Shapes: R sequences, N new tokens, V tokens of the vocabulary, K of them left to draw from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
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
    if sampling.top_k is not None:
        return _draw_likeliest(logits_RV, uniform_R, sampling, sampling.top_k)
    # Many small passes over the whole vocabulary: fused on a GPU, where each would else be a trip through its memory.
    draw_any = _compiled_draw() if logits_RV.is_cuda else _draw_any
    return draw_any(logits_RV, uniform_R, sampling.temperature, sampling.top_p)


def _draw_likeliest(logits_RV: Tensor, uniform_R: Tensor, sampling: Sampling, top_k: int) -> Tensor:
    """As `draw`, of the likeliest `top_k` tokens."""
    # No temperature changes who is likeliest, so of a large vocabulary only what is kept is copied.
    logits_RK, token_RK = logits_RV.topk(min(top_k, logits_RV.shape[1]), dim=-1)
    logits_RK = logits_RK.float() / sampling.temperature
    if sampling.top_p is not None:
        probability_RK = logits_RK.softmax(-1)
        before_RK = probability_RK.cumsum(-1) - probability_RK
        logits_RK = logits_RK.masked_fill(before_RK >= sampling.top_p, -torch.inf)
    token_RK, order_RK = token_RK.sort(dim=-1)
    cumulative_RK = logits_RK.gather(1, order_RK).double().softmax(-1).cumsum(-1)
    # Rounding may leave the total just below 1, and the draw must not fall behind it.
    target_R1 = (uniform_R * cumulative_RK[:, -1])[:, None]
    return token_RK.gather(1, _first_beyond(cumulative_RK, target_R1))[:, 0]


def _draw_any(logits_RV: Tensor, uniform_R: Tensor, temperature: float, top_p: float | None) -> Tensor:
    """As `draw`, of all tokens, or of the likeliest that together have the probability `top_p`."""
    scaled_RV = logits_RV.float() / temperature
    weight_RV = (scaled_RV - scaled_RV.amax(-1, keepdim=True)).exp()
    if top_p is not None:
        weight_RV = weight_RV.where(scaled_RV >= _nucleus_floor(scaled_RV, weight_RV, top_p), 0)
    return _search(weight_RV, uniform_R)


@cache
def _compiled_draw() -> Callable[[Tensor, Tensor, float, float | None], Tensor]:
    return torch.compile(_draw_any, dynamic=True)


_HALVINGS = 28
"""Of the span of the logits: what is left of it is their own rounding in float32."""


def _nucleus_floor(scaled_RV: Tensor, weight_RV: Tensor, top_p: float) -> Tensor:
    """The least logit that belongs to the likeliest tokens of the probability `top_p`, float32 [R, 1].

    A token belongs to them if those likelier than it have less than `top_p` together (Holtzman et al. 2020, Section
    3.1), so that of equally likely tokens all or none do. By halving and not by sorting, which takes many times as long
    for a vocabulary of 150,000.
    """
    enough_R1 = weight_RV.sum(-1, keepdim=True) * top_p
    high_R1 = scaled_RV.amax(-1, keepdim=True)  # nothing is likelier than the likeliest
    low_R1 = scaled_RV.where(scaled_RV > -torch.inf, torch.inf).amin(-1, keepdim=True) - 1  # everything is
    for _ in range(_HALVINGS):
        middle_R1 = (low_R1 + high_R1) / 2
        less_R1 = weight_RV.where(scaled_RV > middle_R1, 0).sum(-1, keepdim=True) < enough_R1
        high_R1 = middle_R1.where(less_R1, high_R1)
        low_R1 = low_R1.where(less_R1, middle_R1)
    # Halving comes near that logit from above, and may end just beside it: of a logit of 0 it always does.
    return scaled_RV.where(scaled_RV <= high_R1, -torch.inf).amax(-1, keepdim=True)


_BLOCK = 512


def _search(weight_RV: Tensor, uniform_R: Tensor) -> Tensor:
    """The places where the running sum of the weights passes the given fractions of all of it, int64 [R].

    First the block of tokens, then the token in it: the running sum in float64 of all tokens would take four times
    the memory of the logits.
    """
    rows, vocabulary = weight_RV.shape
    weight_RBK = pad(weight_RV, (0, -vocabulary % _BLOCK)).view(rows, -1, _BLOCK)
    cumulative_RB = weight_RBK.sum(-1, dtype=torch.float64).cumsum(-1)
    target_R1 = (uniform_R * cumulative_RB[:, -1])[:, None]
    block_R1 = _first_beyond(cumulative_RB, target_R1)
    before_R1 = pad(cumulative_RB, (1, 0)).gather(1, block_R1)
    weight_RK = weight_RBK.gather(1, block_R1[:, :, None].expand(-1, -1, _BLOCK))[:, 0]
    cumulative_RK = weight_RK.double().cumsum(-1)
    # A sum in another order may differ in its last place, and the token must not be one behind the block's last.
    last_R1 = torch.nextafter(cumulative_RK[:, -1:], torch.zeros_like(target_R1))
    return block_R1[:, 0] * _BLOCK + _first_beyond(cumulative_RK, (target_R1 - before_R1).minimum(last_R1))[:, 0]


def _first_beyond(cumulative_RK: Tensor, target_R1: Tensor) -> Tensor:
    """The first place whose running sum is greater than the target, int64 [R, 1]."""
    return torch.searchsorted(cumulative_RK, target_R1, right=True).clamp(max=cumulative_RK.shape[1] - 1)
