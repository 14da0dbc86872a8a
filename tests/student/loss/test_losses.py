"""Equations 2 to 4, worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.student.loss.losses import joint_loss, language_model_loss, triplet_loss


def test_language_model_loss_of_two_tokens_by_hand() -> None:
    # Logits (0, ln 3): the second token has probability 3/4, the first 1/4.
    logits_BTV = torch.tensor([[[0.0, math.log(3)], [0.0, math.log(3)], [9.0, -9.0]]])
    token_BT = torch.tensor([[0, 1, 0]])
    total, count = language_model_loss(logits_BTV, token_BT, torch.ones(1, 3))
    assert float(total) == pytest.approx(-math.log(3 / 4) - math.log(1 / 4))
    assert float(count) == 2  # three tokens, of which the first has nothing before it


def test_a_demonstrations_token_weighs_a_tenth() -> None:
    logits_BTV = torch.tensor([[[0.0, math.log(3)], [0.0, math.log(3)], [0.0, 0.0]]])
    token_BT = torch.tensor([[1, 1, 0]])
    total, count = language_model_loss(logits_BTV, token_BT, torch.tensor([[0.1, 0.1, 1.0]]))
    assert float(total) == pytest.approx(-0.1 * math.log(3 / 4) - math.log(1 / 4))
    assert float(count) == pytest.approx(1.1)


def test_padding_weighs_nothing_whatever_its_logits() -> None:
    logits_BTV = torch.randn(1, 4, 5, generator=torch.Generator().manual_seed(0))
    token_BT = torch.tensor([[1, 2, 3, 4]])
    weight_BT = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    short = language_model_loss(logits_BTV[:, :2], token_BT[:, :2], weight_BT[:, :2])
    padded = language_model_loss(logits_BTV, token_BT, weight_BT)
    assert float(short.total) == pytest.approx(float(padded.total))
    assert float(short.divisor) == float(padded.divisor) == 1


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ([1.0, 0.0], [0.0, 1.0], 0.0),  # 1 - cos 0° + cos 90° = 0
        ([0.0, 1.0], [1.0, 0.0], 2.0),  # 1 - 0 + 1
        ([1.0, 1.0], [1.0, 1.0], 1.0),  # both at 45°: only the margin is left
        ([3.0, 0.0], [-5.0, 0.0], 0.0),  # 1 - 1 - 1 < 0 is cut off at 0; lengths do not count
        ([1.0, 1.0], [0.0, 2.0], 1 - math.sqrt(0.5)),
    ],
)
def test_triplet_loss_by_hand(positive: list[float], negative: list[float], expected: float) -> None:
    anchor_BD = torch.tensor([[2.0, 0.0]])
    total, count = triplet_loss(anchor_BD, torch.tensor([positive]), torch.tensor([negative]), margin=1.0)
    assert float(total) == pytest.approx(expected, abs=1e-6)
    assert float(count) == 1


def test_triplet_loss_sums_over_the_batch_and_takes_the_margin() -> None:
    anchor_BD = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    total, count = triplet_loss(anchor_BD, torch.zeros(2, 2) + 1, anchor_BD, margin=0.5)
    assert float(total) == pytest.approx(2 * (0.5 - math.sqrt(0.5) + 1))
    assert float(count) == 2


def test_joint_loss_is_their_weighted_sum() -> None:
    assert float(joint_loss(torch.tensor(2.0), torch.tensor(0.6), 0.5)) == pytest.approx(2.3)
    assert float(joint_loss(torch.tensor(2.0), torch.tensor(0.6), 0.0)) == 2.0
