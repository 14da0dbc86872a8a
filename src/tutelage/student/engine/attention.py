"""Attention over a shared prefix and each sequence's own tokens, joined exactly: one softmax over both.

Shapes: B prompts or R sequences, Q query heads = K key-value heads * G, L tokens, P tokens of the prefix, U used
places of a slot, D dimensions of a head's keys, E of its values. A group's G queries stand in one row of tokens each:
so no key or value is repeated for them, whatever their number.
"""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from tutelage.student.model.attention import exchanged_attention

NAME = "tutelage_slots"


class States(Protocol):
    """What the engine's cache gives a layer in place of its keys and values."""

    @property
    def reach(self) -> int:
        """The longest path, in tokens, that a sequence may come to."""

    def attend(self, query_BQLD: Tensor, scale: float) -> Tensor:
        """What the queries, the newest tokens, get from all before them and themselves, [B, Q, L, E]."""


def attend_to_slots(
    module: nn.Module,
    query: Tensor,
    key: Any,
    value: Any,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **named: Any,
) -> tuple[Tensor, None]:
    """The attention function that models call by transformers' AttentionInterface; key, value: the same States.

    Raises: NotImplementedError for everything that it would have to leave out.
    """
    if not hasattr(key, "attend") or value is not key:
        raise NotImplementedError("its attention changes the keys and values that come from the cache")
    if attention_mask is not None:
        raise NotImplementedError("its attention has a mask of its own")
    if dropout > 0:
        raise NotImplementedError("its attention has dropout")
    check_window(named.get("sliding_window"), key.reach)
    for name in ("softcap", "s_aux", "position_bias"):
        if named.get(name) is not None:
            raise NotImplementedError(f"its attention has {name}")
    output_BQLE = key.attend(query, query.shape[-1] ** -0.5 if scaling is None else scaling)
    return output_BQLE.transpose(1, 2).contiguous(), None


def check_window(window: int | None, reach: int) -> None:
    """Raises: NotImplementedError if a sliding window is shorter than the longest path."""
    if window is not None and window < reach:
        raise NotImplementedError(f"its attention has a window of {window} tokens, and there are up to {reach}")


def no_mask(*, mask_function: Any, kv_length: int, local_size: int | None = None, **named: Any) -> None:
    """The mask function that models call by transformers' AttentionMaskInterface: States know what they may see.

    The masks that differ from a causal one show here, in those models too whose attention is not told of them.
    kv_length: what the cache says, which is the reach. Raises: NotImplementedError for such a mask.
    """
    if local_size is not None:
        check_window(local_size, kv_length)
    elif mask_function.__name__ != "causal_mask_function":
        raise NotImplementedError("its attention has a mask of its own")


AttentionInterface.register(NAME, attend_to_slots)
AttentionMaskInterface.register(NAME, no_mask)


def slots_attention(model: PreTrainedModel) -> contextlib.AbstractContextManager[None]:
    """The model attends to the engine's slots while this lasts, and as before afterwards."""
    return exchanged_attention(model, NAME)


def by_groups(query_BQLD: Tensor, heads: int) -> Tensor:
    """The queries with those that share keys in one row, [B, K, G * L, D]. heads: K."""
    batch, queries, length, width = query_BQLD.shape
    return query_BQLD.reshape(batch, heads, queries // heads * length, width)


def attend_fresh(
    query_BQLD: Tensor, keys_BKLD: Tensor, values_BKLE: Tensor, prefix: tuple[Tensor, Tensor] | None, scale: float
) -> Tensor:
    """New tokens attend to the prefix and, causally, to each other, [B, Q, L, E]. prefix: [K, P, D] and [K, P, E]."""
    batch, queries, length, _ = query_BQLD.shape
    heads, before = keys_BKLD.shape[1], 0
    if prefix is not None:
        before = prefix[0].shape[1]
        keys_BKLD = torch.cat([prefix[0].expand(batch, -1, -1, -1), keys_BKLD], 2)
        values_BKLE = torch.cat([prefix[1].expand(batch, -1, -1, -1), values_BKLE], 2)
    place_T = torch.arange(before + length, device=query_BQLD.device)
    seen_LT = place_T <= place_T[before:, None]
    seen_XT = seen_LT.repeat(queries // heads, 1)  # X = G * L, as in by_groups
    output_BKXE = scaled_dot_product_attention(
        by_groups(query_BQLD, heads), keys_BKLD, values_BKLE, attn_mask=seen_XT, scale=scale
    )
    return output_BKXE.reshape(batch, queries, length, -1)


def join_by_matmul(
    query_RKGD: Tensor,
    prefix: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    hidden_RU: Tensor,
    scale: float,
) -> Tensor:
    """One new token a sequence attends to the prefix and to its own slot, [R, K, G, E].

    prefix: [K, P, D] and [K, P, E], in one product for all sequences. own: [R, K, U, D] and [R, K, U, E].
    hidden_RU: True behind a sequence's newest token.
    """
    rows, heads, group, _ = query_RKGD.shape
    shared = prefix[0].shape[1]
    query_KND = (query_RKGD * scale).transpose(0, 1).reshape(heads, rows * group, -1)
    query_RKGD = query_KND.view(heads, rows, group, -1).transpose(0, 1)
    prefix_RKGP = (query_KND @ prefix[0].mT).view(heads, rows, group, shared).transpose(0, 1)
    own_RKGU = (query_RKGD @ own[0].mT).masked_fill_(hidden_RU[:, None, None], -torch.inf)
    score_RKGT = torch.cat([prefix_RKGP, own_RKGU], -1)
    weight_RKGT = score_RKGT.softmax(-1, dtype=torch.float32).to(query_RKGD.dtype)
    weight_KNP = weight_RKGT[..., :shared].transpose(0, 1).reshape(heads, rows * group, shared)
    from_prefix_RKGE = (weight_KNP @ prefix[1]).view(heads, rows, group, -1).transpose(0, 1)
    return from_prefix_RKGE + weight_RKGT[..., shared:] @ own[1]
