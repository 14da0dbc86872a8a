"""The decode step's attention on a GPU: FlexAttention over the used blocks of each slot and over the prefix.

The two parts are joined by their log-sum-exps. Compiled once: all shapes are fixed, and what changes from step to
step (places, used blocks) changes in place. Shapes: as in attention.py, with S places of a slot.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, flex_attention

BLOCK = 64  # places of a slot that are read or skipped together
_SHAPES = 256
_QUERY_BLOCK = 128  # FlexAttention's default; a group's queries are far fewer

FlexJoin = Callable[[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor], BlockMask, float], Tensor]


class UsedBlocks:
    """Which blocks of each slot hold tokens, kept in place so that a captured graph sees it."""

    def __init__(self, place_R: Tensor, room: int) -> None:
        """place_R: int64, the newest token's place in its slot, read anew each time. room: S, a multiple of BLOCK."""
        self._place_R = place_R
        self._room = room
        self._count_R11 = torch.ones(len(place_R), 1, 1, dtype=torch.int32, device=place_R.device)
        index_C = torch.arange(room // BLOCK, dtype=torch.int32, device=place_R.device)
        self._index_R11C = index_C.repeat(len(place_R), 1, 1, 1)
        self._masks: dict[int, BlockMask] = {}

    def count(self) -> None:
        """Brings the counts up to date with the places."""
        self._count_R11.copy_((self._place_R // BLOCK + 1)[:, None, None])

    def mask(self, group: int) -> BlockMask:
        """The mask for G queries a sequence, always the same object: another one would be compiled again."""
        if group not in self._masks:
            place_R = self._place_R

            def seen(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
                return kv_idx <= place_R[b]

            self._masks[group] = BlockMask.from_kv_blocks(
                self._count_R11,
                self._index_R11C,
                BLOCK_SIZE=(_QUERY_BLOCK, BLOCK),
                mask_mod=seen,
                seq_lengths=(group, self._room),
                compute_q_blocks=False,  # those are for a backward pass
            )
        return self._masks[group]


def join_by_flex(
    query_RKGD: Tensor,
    prefix: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    blocks: BlockMask,
    scale: float,
) -> Tensor:
    """As `attention.join_by_matmul`, [R, K, G, E]; own: whole slots, [R, K, S, D] and [R, K, S, E].

    The group's queries stand where FlexAttention has a row of tokens: no head is repeated or padded.
    """
    rows, heads, group, _ = query_RKGD.shape
    own_RKGE, own_lse_RKG = _with_lse(query_RKGD, *own, blocks, scale)
    if prefix[0].shape[1] == 0:
        return own_RKGE
    query_1KND = query_RKGD.transpose(0, 1).reshape(1, heads, rows * group, -1)
    prefix_1KNE, prefix_lse_1KN = _with_lse(query_1KND, prefix[0][None], prefix[1][None], None, scale)
    prefix_RKGE = prefix_1KNE.view(heads, rows, group, -1).transpose(0, 1)
    prefix_lse_RKG = prefix_lse_1KN.view(heads, rows, group).transpose(0, 1)
    share_RKG1 = torch.sigmoid(prefix_lse_RKG - own_lse_RKG)[..., None]  # the prefix's part of the softmax's sum
    return (share_RKG1 * prefix_RKGE + (1 - share_RKG1) * own_RKGE).to(query_RKGD.dtype)


def _with_lse(
    query: Tensor, keys: Tensor, values: Tensor, blocks: BlockMask | None, scale: float
) -> tuple[Tensor, Tensor]:
    """The output, and the log of the softmax's sum, float32."""
    output, aux = flex_attention(query, keys, values, block_mask=blocks, scale=scale, return_aux=AuxRequest(lse=True))
    assert aux.lse is not None  # noqa: S101 - for the type checker
    return output, aux.lse


@cache
def compiled_join() -> FlexJoin:
    """`join_by_flex` as one compiled function, compiled again for other shapes only."""
    compiled = torch.compile(join_by_flex, dynamic=False, fullgraph=True)

    def join(
        query_RKGD: Tensor,
        prefix: tuple[Tensor, Tensor],
        own: tuple[Tensor, Tensor],
        blocks: BlockMask,
        scale: float,
    ) -> Tensor:
        # A process that makes many engines may come to more shapes than the library's limit of eight.
        with torch._dynamo.config.patch(recompile_limit=_SHAPES):
            return compiled(query_RKGD, prefix, own, blocks, scale)

    return join
