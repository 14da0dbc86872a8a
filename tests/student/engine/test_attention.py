"""The parts of attention, each against one plain softmax over everything."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tutelage.student.engine.attention import attend_fresh, attend_to_slots, by_groups, join_by_matmul
from tutelage.student.engine.flex import BLOCK, UsedBlocks, compiled_join, join_by_flex

SCALE = 0.37


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("prefix", [0, 1, 7])
@pytest.mark.parametrize(("heads", "group"), [(1, 1), (2, 1), (3, 3), (2, 4)])
@pytest.mark.parametrize("join", ["matmul", "flex"])
def test_prefix_and_slot_are_one_softmax(prefix: int, heads: int, group: int, join: str) -> None:
    place_R = torch.tensor([0, BLOCK - 1, BLOCK, 2 * BLOCK - 1, 5])
    rows, room = len(place_R), 2 * BLOCK
    query = normal(rows, heads * group, 1, 16)
    shared = normal(heads, prefix, 16), normal(heads, prefix, 8)
    own = normal(rows, heads, room, 16), normal(rows, heads, room, 8)
    grouped = by_groups(query, heads)
    hidden_RU = torch.arange(room) > place_R[:, None]
    if join == "matmul":
        found = join_by_matmul(grouped, shared, own, hidden_RU, SCALE)
    else:
        blocks = UsedBlocks(place_R, room)
        blocks.count()
        assert blocks.mask(group).kv_num_blocks.flatten().tolist() == [1, 1, 2, 2, 1]
        found = join_by_flex(grouped, shared, own, blocks.mask(group), SCALE)
    keys, values = (
        torch.cat([part.expand(rows, -1, -1, -1), mine], 2).repeat_interleave(group, 1)
        for part, mine in zip(shared, own, strict=True)
    )
    seen = torch.cat([torch.ones(rows, prefix, dtype=torch.bool), ~hidden_RU], 1)[:, None, None]
    expected = scaled_dot_product_attention(query, keys, values, attn_mask=seen, scale=SCALE)
    torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


def test_used_blocks_follow_the_places() -> None:
    place_R = torch.tensor([3, 4])
    blocks = UsedBlocks(place_R, 3 * BLOCK)
    mask = blocks.mask(2)
    place_R += 2 * BLOCK
    blocks.count()
    assert blocks.mask(2) is mask
    assert mask.kv_num_blocks.flatten().tolist() == [3, 3]


def test_more_shapes_than_the_compilers_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torch.compile
    shapes: list[int] = []

    def note(graph: torch.fx.GraphModule, _: object) -> Any:
        shapes.append(1)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, **named: plain(function, backend=note, **named))
    join = compiled_join.__wrapped__()
    for rows in [*range(1, 11), 3]:
        place_R = torch.zeros(rows, dtype=torch.int64)
        own = normal(rows, 2, BLOCK, 16)
        shared = normal(2, 3, 16)
        blocks = UsedBlocks(place_R, BLOCK).mask(1)
        assert join(normal(rows, 2, 1, 16), (shared, shared), (own, own), blocks, SCALE).shape == (rows, 2, 1, 16)
    assert len(shapes) == 10


@pytest.mark.parametrize("prefix", [0, 4])
def test_new_tokens_see_the_prefix_and_what_stands_before_them(prefix: int) -> None:
    batch, heads, group, length = 2, 2, 3, 5
    query = normal(batch, heads * group, length, 8)
    keys, values = normal(batch, heads, length, 8), normal(batch, heads, length, 6)
    shared = (normal(heads, prefix, 8), normal(heads, prefix, 6)) if prefix else None
    found = attend_fresh(query, keys, values, shared, SCALE)
    if shared is not None:
        keys = torch.cat([shared[0].expand(batch, -1, -1, -1), keys], 2)
        values = torch.cat([shared[1].expand(batch, -1, -1, -1), values], 2)
    seen = torch.ones(length, prefix + length, dtype=torch.bool).tril(prefix)
    expected = scaled_dot_product_attention(
        query, keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1), attn_mask=seen, scale=SCALE
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


class Echo:
    """States that give back the query."""

    reach = 10

    def attend(self, query_BQLD: Tensor, scale: float) -> Tensor:
        return query_BQLD * scale


def attend(states: Any, value: Any = None, mask: Tensor | None = None, **named: Any) -> Tensor:
    query = torch.ones(1, 2, 3, 4)
    return attend_to_slots(nn.Identity(), query, states, states if value is None else value, mask, **named)[0]


def test_the_interface_hands_over_scale_and_shape() -> None:
    assert attend(Echo()).shape == (1, 3, 2, 4)
    assert attend(Echo()).unique().tolist() == [0.5]
    assert attend(Echo(), scaling=3.0, sliding_window=10, softcap=None, position_ids=torch.ones(1)).unique() == 3.0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"states": torch.ones(1)}, "changes the keys"),
        ({"states": Echo(), "value": torch.ones(1)}, "changes the keys"),
        ({"states": Echo(), "mask": torch.ones(1, 1, 3, 3)}, "mask of its own"),
        ({"states": Echo(), "dropout": 0.1}, "dropout"),
        ({"states": Echo(), "sliding_window": 9}, "window of 9 tokens, and there are up to 10"),
        ({"states": Echo(), "softcap": 50.0}, "softcap"),
        ({"states": Echo(), "s_aux": torch.ones(2)}, "s_aux"),
        ({"states": Echo(), "position_bias": torch.ones(2)}, "position_bias"),
    ],
)
def test_what_would_be_left_out_is_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotImplementedError, match=reason):
        attend(**arguments)
