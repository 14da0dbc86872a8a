"""Attention over a packed tree: a token sees its ancestors, its own branch up to itself, and nothing else.

On a GPU that is FlexAttention with a BlockMask. Elsewhere (FlexAttention has no backward on a CPU) it is PyTorch's
scaled dot product attention with the same mask as a boolean tensor, one question's branches at a time: what they
cannot see of the other questions is never computed.

Shapes: N tokens of the pack, P of its root, G of one question's segments, H heads, D a head's dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface, PreTrainedModel

from tutelage.student.packed.tree import Tree

TREE = "tutelage_tree"
BLOCK_TREE = "tutelage_tree_blocks"

FORWARD_BLOCKS: Any = {"fwd_BLOCK_M": 64, "fwd_BLOCK_N": 64}
"""Queries and keys that the forward kernel works on at a time, where they fit: half of the library's choice.

Paths are short, so much of a larger block is masked: 1.15 ms a layer in place of 1.78 (1.7B, 64 questions, H200).
"""


class Sight(NamedTuple):
    """Who sees which key; int32, [K] and [N].

    first_K, horizon_K: the places of the first query that sees a key, and of the first behind that does no more. A
    segment's descendants stand right behind it, so those who see a token stand in one run, from the token itself on.
    position_K, position_N: of keys and queries on their paths, for a window.
    """

    first_K: Tensor
    horizon_K: Tensor
    position_K: Tensor
    position_N: Tensor

    def sees(self, query: Tensor, key: Tensor, window: int | None = None) -> Tensor:
        """Whether the queries at these places may attend to those keys, bool; the places broadcast.

        window: how many positions back a token sees, itself included; None for all.
        """
        seen = (query >= self.first_K[key]) & (query < self.horizon_K[key])
        if window is not None:
            seen = seen & (self.position_N[query] - self.position_K[key] < window)
        return seen


def sight(tree: Tree, size: int | None = None) -> Sight:
    """Who sees the tokens of a tree. size: filled up to so many tokens, one more branch of the root."""
    size = size or len(tree.token_N)
    horizon_N = torch.full((size,), size, dtype=torch.int32)
    position_N = torch.full((size,), tree.segments[0].end, dtype=torch.int32)
    position_N[: len(tree.token_N)] = tree.position_N
    for one in tree.segments[1:]:
        # A question's branches come after it, each later one reaching further.
        horizon_N[one.start : one.end] = one.end
        if one.parent is not None and one.parent is not tree.segments[0]:
            horizon_N[one.parent.start : one.parent.end] = one.end
    return Sight(torch.arange(size, dtype=torch.int32), horizon_N, position_N, position_N)


def dense_mask(tree: Tree, device: torch.device, window: int | None = None) -> Tensor:
    """The mask as a boolean tensor, [1, 1, N, N]; True where a token may attend."""
    place_N = torch.arange(len(tree.token_N), device=device)
    seen = Sight(*(column.to(device) for column in sight(tree)))
    return seen.sees(place_N[:, None], place_N[None], window)[None, None]


def additive_mask(tree: Tree, device: torch.device, window: int | None = None) -> Tensor:
    """The same to be added to scores, float32: 0 where a token may attend, −∞ elsewhere."""
    seen = dense_mask(tree, device, window)
    return torch.zeros(seen.shape, device=device).masked_fill(~seen, -torch.inf)


def group_sizes(tree: Tree) -> tuple[int, ...]:
    """Tokens of the root, then of all segments of each question: what `tree_sdpa` takes one at a time."""
    root, *others = tree.segments
    starts = [one.start for one in others if one.parent is root]
    ends = [*starts[1:], len(tree.token_N)]
    return (root.length, *(end - start for start, end in zip(starts, ends, strict=True)))


def tree_sdpa(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree_sizes: Sequence[int] | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """An attention function as transformers' AttentionInterface calls it; gives [1, N, H, D].

    query: [1, H, N, D]; key and value may have fewer heads. tree_sizes: `group_sizes` of the pack; without them (a
    model that does not hand them on) the whole mask is computed.
    softcap: the cap c of Gemma 2's scores, c·tanh(s/c). Raises: NotImplementedError for attention sinks.
    """
    if s_aux is not None:
        raise NotImplementedError("attention sinks")
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    if tree_sizes is None:
        tree_sizes = (0, query.shape[2])
    root, *groups = tree_sizes
    # Split once: the gradient of a split is one concatenation, that of many slices a sum of many full tensors.
    queries, keys, values = (state.split(list(tree_sizes), dim=2) for state in (query, key, value))
    attend = partial(_attend, dropout=dropout, scaling=scaling, softcap=softcap)
    outputs = [attend(queries[0], keys[0], values[0], attention_mask[..., :root, :root])]
    start = root
    for index, size in enumerate(groups, start=1):
        rows = attention_mask[..., start : start + size, :]
        mask = torch.cat([rows[..., :root], rows[..., start : start + size]], dim=-1)
        seen_keys, seen_values = (torch.cat([states[0], states[index]], dim=2) for states in (keys, values))
        outputs.append(attend(queries[index], seen_keys, seen_values, mask))
        start += size
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    dropout: float,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    if query.shape[2] == 0:
        return query.new_zeros(*query.shape[:3], value.shape[-1])
    if softcap is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    score = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    score = (softcap * torch.tanh(score / softcap)).masked_fill(~mask, -torch.inf)
    return F.dropout(score.float().softmax(-1).to(value.dtype), dropout) @ value


def _capped(softcap: float) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    def capped(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return capped


def tree_flex(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree_root: int = 0,
    tree_copies: int = 0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """FlexAttention, as transformers' AttentionInterface calls it inside a compiled layer; gives [1, N, H, D].

    tree_root, tree_copies: so many first keys stand so many times before all keys, and the mask says who looks at
    which copy. All queries look at the root; the backward pass goes through those of a block of keys one after
    another, and without copies the rest of the GPU would wait for that.
    The library's own function would do the arithmetic in float32 under autocast, where rotated queries are float32.
    Raises: NotImplementedError for attention sinks and for dropout of attention weights.
    """
    if s_aux is not None or dropout:
        raise NotImplementedError("attention sinks or dropout of attention weights")
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if tree_copies:
        key, value = (
            torch.cat([state[:, :, :tree_root].repeat(1, 1, tree_copies, 1), state], dim=2) for state in (key, value)
        )

    output: Any = flex_attention(
        query,
        key,
        value,
        score_mod=None if softcap is None else _capped(softcap),
        block_mask=attention_mask,
        scale=scaling,
        enable_gqa=True,
        kernel_options=FORWARD_BLOCKS if query.shape[-1] <= 128 and query.element_size() == 2 else None,
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(TREE, tree_sdpa)
AttentionInterface.register(BLOCK_TREE, tree_flex)


class UnknownLayerError(ValueError):
    """A kind of attention layer that no tree mask stands for; its text names it."""


def masks_by_layer(model: PreTrainedModel, longest: int, build: Any) -> Any:
    """The attention mask as the model takes it: one for all layers, or one for each type of layer.

    longest: tokens of the longest path; a window that is as long changes nothing. build: makes the mask of a window.
    Raises: UnknownLayerError if some layers are of a type without a tree mask.
    """
    config = model.config.get_text_config()
    window: int | None = getattr(config, "sliding_window", None)
    # GPT-Neo calls them otherwise. Its local layers mask by place, of which a tree's tokens have others.
    types = set(getattr(config, "layer_types", None) or getattr(config, "attention_layers", None) or ())
    if unknown := types - {"full_attention", "sliding_attention", "global"}:
        raise UnknownLayerError(f"layers of type {', '.join(sorted(unknown))}")
    if window is None or window >= longest:
        return build(None)
    if not types or types == {"sliding_attention"}:
        return build(window)
    if types <= {"full_attention", "global"}:
        return build(None)
    return {"full_attention": build(None), "sliding_attention": build(window)}
