"""The joint loss of Eq. 4 in one packed pass: the same sums as `separate_passes`, each shared token computed once.

The demonstrations' loss is the same for every sample, so it is computed once and weighs as often as they are.

Shapes: N tokens of the pack, M predictions, C of them at a time, K whole triplets, D hidden size, V vocabulary.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tutelage.student.loss.losses import Sum, triplet_loss
from tutelage.student.loss.separate import JointSums, LessonSample
from tutelage.student.model.gradient_checkpointing import checkpoints_activations
from tutelage.student.model.student import Student
from tutelage.student.packed.attention import additive_mask, dense_mask, group_sizes, masks_by_layer
from tutelage.student.packed.tree import Tree, plant
from tutelage.student.ranks.partitioned import is_partitioned

CHUNK = 4096
"""Predictions whose logits are in memory at a time: 400 MB for 49 thousand tokens in bfloat16, and what a loss adds."""
SMALL_CHUNK = 1024
"""The same under gradient checkpointing, where memory is short."""


WeightedLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits [C, V], targets [C] and weights [C] in, the weighted sum of the cross-entropies out, float32."""


def cross_entropy(logits_CV: Tensor, target_C: Tensor, weight_C: Tensor) -> Tensor:
    """A WeightedLoss, in float32 whatever the logits are."""
    return (F.cross_entropy(logits_CV.float(), target_C, reduction="none") * weight_C).sum()


@dataclass(frozen=True, slots=True)
class Pack:
    """A tree on the student's device, ready for a pass.

    token_1N, position_1N, source_M, target_M, weight_M, state_K3: see Tree. mask: what the model takes as its
    attention mask. hints: what the attention function gets beside it. whole_K: 1 for a triplet, 0 for padding.
    """

    token_1N: Tensor
    position_1N: Tensor
    mask: Any
    hints: dict[str, Any]
    source_M: Tensor
    target_M: Tensor
    weight_M: Tensor
    state_K3: Tensor
    whole_K: Tensor


def packed_passes(
    student: Student, samples: Sequence[LessonSample], margin: float, own_attention: bool = False
) -> JointSums:
    """What `separate_passes` gives, by scaled dot product attention; the model's attention must be TREE.

    own_attention: as for `pack`. Raises: UnknownLayerError if the model has layers without a tree mask.
    """
    return packed_sums(student, pack(student, plant(samples), own_attention), margin, chunk_for(student))


def chunk_for(student: Student) -> int:
    """Predictions at a time, by whether memory is short.

    All at once under DeepSpeed's ZeRO-3: there, each call of a module is one of all ranks together, and they have packs
    of different sizes.
    """
    if any(map(is_partitioned, student.model.parameters())):
        return sys.maxsize
    return SMALL_CHUNK if checkpoints_activations(student.model) else CHUNK


def pack(student: Student, tree: Tree, own_attention: bool = False) -> Pack:
    """The tree for scaled dot product attention; or for a model's own attention that adds the mask to its scores."""
    device = student.device

    def mask(window: int | None) -> Tensor:
        return (additive_mask if own_attention else dense_mask)(tree, device, window)

    return Pack(
        tree.token_N[None].to(device),
        tree.position_N[None].to(device),
        masks_by_layer(student.model, tree.longest, mask),
        {} if own_attention else {"tree_sizes": group_sizes(tree)},
        tree.source_M.to(device),
        tree.target_M.to(device),
        tree.weight_M.to(device),
        tree.state_K3.to(device),
        torch.ones(len(tree.state_K3), device=device),
    )


def packed_sums(
    student: Student, pack: Pack, margin: float, chunk: int = CHUNK, weighted_loss: WeightedLoss = cross_entropy
) -> JointSums:
    """Both losses of a pack, undivided; the graph reaches the one pass.

    chunk: predictions whose logits are in memory at a time. weighted_loss: `cross_entropy`, or that compiled.
    """
    output = student.model.base_model(
        input_ids=pack.token_1N,
        attention_mask=pack.mask,
        position_ids=pack.position_1N,
        use_cache=False,
        **pack.hints,
    )
    hidden_ND = output.last_hidden_state[0]
    # A look-up and no index: the gradient of an index adds up in another order each time, on several CPU threads.
    hidden_MD = F.embedding(pack.source_M, hidden_ND)
    total = predicted_loss(head(student), hidden_MD, pack.target_M, pack.weight_M, chunk, weighted_loss)
    anchor_KD, positive_KD, negative_KD = F.embedding(pack.state_K3, hidden_ND).unbind(1)
    triplet = triplet_loss(anchor_KD, positive_KD, negative_KD, margin, pack.whole_K)
    return JointSums(Sum(total, pack.weight_M.sum()), triplet)


Head = Callable[[Tensor], Tensor]
"""Hidden states [C, D] in, logits [C, V] out."""


def head(student: Student) -> Head:
    """The student's language-model head, with the factor (Cohere, Granite) or the cap (Gemma 2) of its logits."""
    linear: Any = student.model.get_output_embeddings()
    config = student.model.config.get_text_config()
    cap: float | None = getattr(config, "final_logit_softcapping", None)
    factor = float(getattr(config, "logit_scale", None) or 1) / float(getattr(config, "logits_scaling", None) or 1)

    def logits(hidden_CD: Tensor) -> Tensor:
        logits_CV: Tensor = linear(hidden_CD)
        if factor != 1:
            logits_CV = logits_CV * factor
        return logits_CV if cap is None else cap * torch.tanh(logits_CV / cap)

    return logits


def predicted_loss(
    head: Head,
    hidden_MD: Tensor,
    target_M: Tensor,
    weight_M: Tensor,
    chunk: int = CHUNK,
    weighted_loss: WeightedLoss = cross_entropy,
) -> Tensor:
    """Σ w·(−log p) of the predictions made at these hidden states, float32 (Eq. 2).

    Where they are many, in chunks whose logits are computed again in the backward pass: all logits together would
    take more memory than the rest of a small student, and the head costs a few hundredths of the pass.
    """

    def chunk_loss(hidden_CD: Tensor, target_C: Tensor, weight_C: Tensor) -> Tensor:
        return weighted_loss(head(hidden_CD), target_C, weight_C)

    if len(hidden_MD) <= chunk:
        return chunk_loss(hidden_MD, target_M, weight_M)
    parts = zip(*(rows.split(chunk) for rows in (hidden_MD, target_M, weight_M)), strict=True)
    losses = [checkpoint(chunk_loss, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return torch.stack(losses).sum()
