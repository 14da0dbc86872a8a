"""Lengths in tokens that GSM8K's texts have, drawn anew for every batch.

Log-normal marginals that go together as measured; `benchmarks/gsm8k_lengths.py` measured all numbers here, with
SmolLM2's tokenizer, on the 7,473 training questions (mistakes: 349 of MathDial's; two rationales of one question:
1,851 pairs by Phi-3.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Marginal:
    """Of one kind of text: mean and standard deviation of the length's logarithm, and the range seen."""

    log_mean: float
    log_sd: float
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of one lesson sample, in tokens. question: with its labels; the others: with answer and end token."""

    question: int
    anchor: int
    positive: int
    negative: int


QUESTION = Marginal(4.139, 0.313, 18, 229)
RATIONALE = Marginal(4.461, 0.429, 26, 344)
# The exam lets a student write 128 tokens (Table 9), so no mistake of its own is longer.
MISTAKE = Marginal(4.815, 0.149, 86, 128)

# Of the logarithms, in the order of Lengths. Mistakes went with nothing (0.01).
CORRELATION = np.array(
    [
        [1.00, 0.54, 0.54, 0.0],
        [0.54, 1.00, 0.60, 0.0],
        [0.54, 0.60, 1.00, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def draw_lengths(count: int, seed: int) -> list[Lengths]:
    """Lengths of `count` lesson samples; the same seed gives the same."""
    draw = np.random.default_rng(seed)
    normal = draw.multivariate_normal(np.zeros(4), CORRELATION, size=count)
    columns = []
    for place, marginal in enumerate((QUESTION, RATIONALE, RATIONALE, MISTAKE)):
        lengths = np.exp(marginal.log_mean + marginal.log_sd * normal[:, place]).round()
        columns.append(lengths.clip(marginal.least, marginal.most).astype(int).tolist())
    return [Lengths(*row) for row in zip(*columns, strict=True)]
