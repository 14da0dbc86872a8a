"""The block mask shows what the dense mask shows, and goes on doing so when another tree is loaded into it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tutelage.student.loss.separate import LessonSample
from tutelage.student.packed.attention import dense_mask, tree_flex
from tutelage.student.packed.blocks import (
    BLOCK,
    QUERY_BLOCKS,
    TreeBlockMask,
    block_tables,
    copied_sight,
    copies_for,
    tables_of,
)
from tutelage.student.packed.tree import Tree, plant
from tutelage.student.text.encoding import Sample

CPU = torch.device("cpu")


def make_tree(demonstrations: int, seed: int) -> Tree:
    """Six questions with branches of up to 400 tokens, a third of them without a triplet."""
    draw = random.Random(seed)

    def some(count: int) -> list[int]:
        return [draw.randrange(300) for _ in range(count)]

    before = some(demonstrations)
    lesson = []
    for number in range(6):
        question = before + some(draw.randrange(1, 90))
        texts = [(*question, *some(draw.randrange(3, draw.choice([10, 150, 400])))) for _ in range(3)]
        samples = [Sample(text, (1.0,) * len(text), len(text) - 2) for text in texts]
        lesson.append(LessonSample(str(number), samples[0], *(samples[1:] if number % 3 else (None, None))))
    return plant(lesson)


def size_of(tree: Tree) -> int:
    return (len(tree.token_N) // BLOCK + 2) * BLOCK


@pytest.mark.parametrize("demonstrations", [0, 1, 130, 420])
@pytest.mark.parametrize("window", [None, 40])
def test_every_query_sees_through_the_copies_what_it_sees_without(demonstrations: int, window: int | None) -> None:
    tree = make_tree(demonstrations, seed=demonstrations)
    size, real = size_of(tree), len(tree.token_N)
    copies = copies_for(tree, size)
    seen = copied_sight(tree, size, copies)
    shown_NK = seen.sees(torch.arange(real)[:, None], torch.arange(copies.total + size)[None], window)
    # Folded back onto the tokens that the copies are copies of.
    folded_NN = shown_NK[:, copies.total :].int()
    for number in range(copies.number):
        folded_NN[:, : copies.length] += shown_NK[:, number * copies.length : (number + 1) * copies.length].int()
    assert torch.equal(folded_NN[:, :real], dense_mask(tree, CPU, window)[0, 0].int())  # each of them once
    assert not folded_NN[:, real:].any()


@pytest.mark.parametrize("demonstrations", [0, 1, 130, 420])
@pytest.mark.parametrize("window", [None, 40])
def test_no_block_that_is_needed_is_missing_and_none_is_full_that_is_not(
    demonstrations: int, window: int | None
) -> None:
    tree = make_tree(demonstrations, seed=demonstrations)
    size = size_of(tree)
    seen = copied_sight(tree, size, copies_for(tree, size))
    part_QK, full_QK = block_tables(seen, windowed=window is not None)
    queries, keys = part_QK.shape
    mask_NK = seen.sees(torch.arange(size)[:, None], torch.arange(keys * BLOCK)[None], window).numpy()
    tiles = mask_NK.reshape(queries, BLOCK, keys, BLOCK)
    needed_QK, whole_QK = tiles.any(axis=(1, 3)), tiles.all(axis=(1, 3))
    assert not (needed_QK & ~(part_QK | full_QK)).any()
    assert not (full_QK & ~whole_QK).any()
    assert not (part_QK & full_QK).any()
    if window is None:  # and none is visited in vain
        assert np.array_equal(part_QK | full_QK, needed_QK)
        assert np.array_equal(full_QK, whole_QK)


def test_no_block_of_keys_is_seen_by_many_more_queries_than_others() -> None:
    tree = make_tree(420, seed=3)
    size = size_of(tree)
    part_QK, full_QK = block_tables(copied_sight(tree, size, copies_for(tree, size)), windowed=False)
    assert (part_QK | full_QK).sum(axis=0).max() <= QUERY_BLOCKS


@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_attention_equals_that_under_the_dense_mask_for_one_tree_after_another(window: int | None) -> None:
    trees = [make_tree(demonstrations, seed=7) for demonstrations in (130, 140, 250)]
    size = max(map(size_of, trees))
    copies = copies_for(trees[0], size)
    kept = copied_sight(trees[0], size, copies)
    mask = TreeBlockMask(kept, window)
    tables = {name: getattr(mask.mask, name).data_ptr() for name in ("kv_indices", "full_kv_indices", "q_indices")}
    assert len(mask.tables) == 8
    for tree in trees:
        seen = copied_sight(tree, size, copies)
        for column, new in zip([*kept, *mask.tables], [*seen, *tables_of(seen, window)], strict=True):
            column.copy_(new)
        query, key, value = torch.randn(3, 1, 2, size, 16)
        hints = {"tree_root": copies.length, "tree_copies": copies.number}
        found, _ = tree_flex(None, query, key, value, mask.mask, **hints)  # type: ignore[arg-type]
        real = len(tree.token_N)
        query, key, value = (state[:, :, :real] for state in (query, key, value))
        expected = F.scaled_dot_product_attention(query, key, value, attn_mask=dense_mask(tree, CPU, window))
        torch.testing.assert_close(found[:, :real].transpose(1, 2), expected, atol=1e-5, rtol=1e-4)
    # Where a captured graph and a compiled layer look for them.
    assert tables == {name: getattr(mask.mask, name).data_ptr() for name in tables}
