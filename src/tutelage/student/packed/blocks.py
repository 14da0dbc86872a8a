"""The tree's mask for FlexAttention: which blocks of tokens see each other, worked out from the segments.

`create_block_mask` would compare every pair of tokens on the device, for each batch anew. The segments say the same
in a fraction of a millisecond on the host, and the tables go into memory that stays where it is, so that a captured
CUDA graph and a compiled layer take the next batch without noticing.

Shapes: N tokens of a pack filled up to whole blocks, K keys: those of the copies of the root before those of the pack.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from tutelage.student.packed.attention import Sight, sight
from tutelage.student.packed.tree import Tree

BLOCK = 128
"""Tokens of a block: FlexAttention's own."""

QUERY_BLOCKS = 8
"""Blocks of queries that share a copy of the root: about as many as see any other block of keys."""

_TABLES = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
_TURNED = ("q_num_blocks", "q_indices", "full_q_num_blocks", "full_q_indices")


class Copies(NamedTuple):
    """Copies of the root's keys before all others. length: tokens of each, whole blocks. number: of copies."""

    length: int
    number: int

    @property
    def total(self) -> int:
        return self.length * self.number


def copies_for(tree: Tree, size: int) -> Copies:
    """One copy of the root for every few blocks of queries of a pack of this size."""
    return Copies(-(-tree.segments[0].end // BLOCK) * BLOCK, -(-size // (QUERY_BLOCKS * BLOCK)))


def copied_sight(tree: Tree, size: int, copies: Copies) -> Sight:
    """Who sees the tokens of a filled up tree, where all but the root itself look at copies of the root."""
    seen, root = sight(tree, size), tree.segments[0].end
    if copies.total == 0:
        return seen
    seen.horizon_K[:root] = root
    run = QUERY_BLOCKS * BLOCK
    first = torch.arange(copies.number, dtype=torch.int32)[:, None] * run
    inside = torch.arange(copies.length) < root  # what fills a copy up to whole blocks is seen by none
    first_K = torch.where(inside, first.clamp(min=root), 0).flatten()
    horizon_K = torch.where(inside, first + run, 0).flatten()
    position_K = torch.arange(copies.length, dtype=torch.int32).repeat(copies.number)
    return Sight(
        torch.cat([first_K.int(), seen.first_K]),
        torch.cat([horizon_K.int(), seen.horizon_K]),
        torch.cat([position_K, seen.position_K]),
        seen.position_N,
    )


def block_tables(seen: Sight, windowed: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which blocks of keys (columns) each block of queries (rows) sees in part, and which in full.

    windowed: no block is sure to be seen in full.
    """
    keys, queries = len(seen.first_K) // BLOCK, len(seen.position_N) // BLOCK
    first, horizon = (column.numpy().reshape(keys, BLOCK) for column in (seen.first_K, seen.horizon_K))
    horizon = horizon.clip(max=queries * BLOCK)
    # Each key counts in the blocks of the run of queries that see it: +1 where that begins, -1 behind its end.
    block = np.broadcast_to(np.arange(keys)[:, None], first.shape)
    some = first < horizon
    change = np.zeros((keys, queries + 1), dtype=np.int64)
    np.add.at(change, (block[some], first[some] // BLOCK), 1)
    np.add.at(change, (block[some], -(-horizon[some] // BLOCK)), -1)
    seen_QK = (change.cumsum(axis=1)[:, :-1] > 0).T
    start = np.arange(queries)[:, None] * BLOCK
    full_QK = (first.max(axis=1) <= start) & (horizon.min(axis=1) >= start + BLOCK) & (not windowed)
    return seen_QK & ~full_QK, full_QK


class TreeBlockMask:
    """A BlockMask whose contents change in place. mask: what FlexAttention takes."""

    def __init__(self, kept: Sight, window: int | None) -> None:
        """kept: of whole blocks of keys and queries, in memory that stays and is read at every use."""
        device = kept.first_K.device

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return kept.sees(query, key, window)

        queries, keys = len(kept.position_N), len(kept.first_K)
        every = np.ones((queries // BLOCK, keys // BLOCK), dtype=bool)
        counts, indices, full_counts, full_indices = (table.to(device) for table in _ordered(every, every))
        self.mask = BlockMask.from_kv_blocks(
            counts,
            indices,
            full_counts,
            full_indices,
            BLOCK_SIZE=BLOCK,
            mask_mod=sees,
            seq_lengths=(queries, keys),
        )

    @property
    def tables(self) -> list[Tensor]:
        """The tensors that say which blocks see which, as `tables_of` gives them for a tree."""
        return [getattr(self.mask, name) for name in (*_TABLES, *_TURNED)]


def tables_of(seen: Sight, window: int | None) -> list[Tensor]:
    """What a TreeBlockMask with this window is to hold for a tree, on the host; int32."""
    part, full = block_tables(seen, window is not None)
    return [*_ordered(part, full), *_ordered(part.T, full.T)]


def _ordered(part: NDArray[np.bool_], full: NDArray[np.bool_]) -> list[Tensor]:
    """Counts [1, 1, rows] and indices [1, 1, rows, columns] of the blocks set in each row, those first."""
    tables = []
    for table in (part, full):
        order = np.argsort(~table, axis=1, kind="stable").astype(np.int32)
        tables += [table.sum(axis=1, dtype=np.int32)[None, None], order[None, None]]
    return [torch.from_numpy(table) for table in tables]
