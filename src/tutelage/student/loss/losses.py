"""The losses of study (Eqs. 2-4), pure: tensors in, sums and counts out.

Every loss comes as a sum with what it is to be divided by. The caller divides once, by the divisor of
the whole global batch, so gradient accumulation and the number of GPUs change nothing but rounding.

Shapes: B samples, T tokens of the longest sample, V vocabulary, D hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Sum(NamedTuple):
    """A sum over a batch and what it is to be divided by; scalar tensors, float32."""

    total: Tensor
    divisor: Tensor


def language_model_loss(logits_BTV: Tensor, token_BT: Tensor, weight_BT: Tensor) -> Sum:
    """L_lm of Eq. 2: weighted next-token negative log-likelihood, in nats, and the sum of the weights.

    logits_BTV: at each position, for the token after it. token_BT: token ids.
    weight_BT: of each token as a target; 0 for padding, 0.1 in demonstrations (A.2), 1 elsewhere. A token
    without a predecessor is never a target, whatever its weight.
    """
    weight_BT = weight_BT[:, 1:].float()
    # Only where a loss reads them: on a CPU the logits cost as much as a quarter of the model.
    read_BT = weight_BT > 0
    logits_NV, target_N = logits_BTV[:, :-1][read_BT], token_BT[:, 1:][read_BT]
    loss_N = F.cross_entropy(logits_NV.float(), target_N, reduction="none")
    return Sum((loss_N * weight_BT[read_BT]).sum(), weight_BT.sum())


def triplet_loss(
    anchor_BD: Tensor, positive_BD: Tensor, negative_BD: Tensor, margin: float, whole_B: Tensor | None = None
) -> Sum:
    """L_cl of Eq. 3: sum over samples of max(0, ρ − cos(h, h⁺) + cos(h, h⁻)), and their number.

    The hidden states are those of the last layer at the last token of [.., x, r, y]; margin is ρ.
    whole_B: 1 for a sample that counts, 0 for one that fills up; None counts all.
    """
    anchor_BD, positive_BD, negative_BD = anchor_BD.float(), positive_BD.float(), negative_BD.float()
    near_B = F.cosine_similarity(anchor_BD, positive_BD, dim=-1)
    far_B = F.cosine_similarity(anchor_BD, negative_BD, dim=-1)
    loss_B = (margin - near_B + far_B).clamp(min=0)
    if whole_B is None:
        whole_B = torch.ones_like(loss_B)
    return Sum((loss_B * whole_B).sum(), whole_B.sum())


def joint_loss(language_model: Tensor, triplet: Tensor, weight: float) -> Tensor:
    """L = L_lm + λ·L_cl (Eq. 4), of two losses that are divided already; weight is λ."""
    return language_model + weight * triplet
