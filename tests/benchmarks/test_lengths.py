"""Lengths of lessons: GSM8K's moments, in their order, the same for the same seed."""

from __future__ import annotations

import numpy as np

from measuring.lengths import draw_lengths


def test_means_and_spreads_are_gsm8ks() -> None:
    lengths = draw_lengths(20_000, seed=1)
    questions = np.array([sizes.question for sizes in lengths])
    anchors = np.array([sizes.anchor for sizes in lengths])
    mistakes = np.array([sizes.negative for sizes in lengths])
    assert abs(questions.mean() - 66.0) < 1.0  # as measured by gsm8k_lengths.py
    assert abs(anchors.mean() - 95.0) < 1.5
    assert abs(np.median(anchors) - 86) < 2
    assert abs(np.quantile(questions, 0.95) - 107) < 4
    assert mistakes.max() == 128  # what an exam lets a student write
    assert questions.min() >= 18
    assert anchors.max() <= 344


def test_lengths_go_together_as_measured() -> None:
    lengths = draw_lengths(20_000, seed=2)
    columns = np.log([[s.question, s.anchor, s.positive, s.negative] for s in lengths]).T
    found = np.corrcoef(columns)
    assert abs(found[0, 1] - 0.54) < 0.03
    assert abs(found[1, 2] - 0.60) < 0.03
    assert abs(found[0, 3]) < 0.03


def test_a_seed_decides() -> None:
    assert draw_lengths(5, seed=3) == draw_lengths(5, seed=3) != draw_lengths(5, seed=4)
