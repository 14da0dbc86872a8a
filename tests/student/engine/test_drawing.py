"""Drawing tokens: the distribution, and the edges."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tutelage.student.engine.drawing import Greedy, Sampling, choose, draw, uniform_numbers


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), [(None, None, 1.0), (5, None, 1.0), (None, 0.8, 0.7), (8, 0.9, 1.5)]
)
def test_draws_follow_the_distribution(top_k: int | None, top_p: float | None, temperature: float) -> None:
    logits_V = torch.randn(40, generator=torch.Generator().manual_seed(3)) * 2
    draws = 200_000
    uniform_R = uniform_numbers([(7, 0)], draws)[0]
    token_R = draw(logits_V.expand(draws, -1), uniform_R, Sampling(temperature, top_k, top_p, 1))
    found_V = torch.bincount(token_R, minlength=40) / draws
    expected_V = (logits_V / temperature).softmax(-1)
    order_V = expected_V.argsort(descending=True)
    if top_k is not None:
        expected_V[order_V[top_k:]] = 0
    expected_V /= expected_V.sum()
    if top_p is not None:
        needed = int((expected_V[order_V].cumsum(0) < top_p).sum()) + 1
        expected_V[order_V[needed:]] = 0
        expected_V /= expected_V.sum()
    assert found_V[expected_V == 0].sum() == 0
    assert float((found_V - expected_V).abs().sum()) / 2 < 0.01  # total variation


def test_uniform_numbers_at_the_edges_draw_what_is_there() -> None:
    logits_RV = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).expand(2, -1)
    edges_R = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits_RV, edges_R, Sampling(1.0, None, None, 1)).tolist() == [1, 2]


def test_each_seed_and_sample_has_numbers_of_its_own() -> None:
    keys = [(seed, sample) for seed in (3, 4, 2**60 - 1) for sample in (0, 1)]
    numbers = uniform_numbers(keys, 8)
    assert len({tuple(row) for row in numbers.tolist()}) == len(keys)
    torch.testing.assert_close(uniform_numbers(keys[3:4], 5)[0], numbers[3, :5], rtol=0, atol=0)
    assert uniform_numbers([], 5).shape == (0, 5)


def test_greedy_takes_the_likeliest_whatever_the_numbers() -> None:
    logits_RV = torch.tensor([[0.0, 3.0, 1.0], [2.0, -1.0, 0.0]])
    assert choose(logits_RV, torch.rand(2).double(), Greedy(4)).tolist() == [1, 0]
    with pytest.raises(ValueError, match="Greedy"):
        Sampling(0.0, None, None, 4)


@given(
    logits=st.lists(st.integers(-40, 40).map(lambda number: number / 4), min_size=1, max_size=1100),
    top_p=st.floats(0.01, 1.0),
)
@example(logits=[0.0, 0.25], top_p=1.0)
@settings(deadline=None)
def test_the_nucleus_is_the_likeliest_tokens_with_their_equals(logits: list[float], top_p: float) -> None:
    """By halving as by sorting: a token is in if what is likelier has less than top_p together."""
    logits_V = torch.tensor(logits)
    probability_V = logits_V.double().softmax(-1)
    likelier_V = torch.stack([probability_V[logits_V > logit].sum() for logit in logits_V])
    certain_V = (likelier_V - top_p).abs() > 1e-5  # what is at the border to within float32 may be in or out
    draws = torch.arange(400, dtype=torch.float64) / 400
    drawn = set(draw(logits_V.expand(400, -1), draws, Sampling(1.0, None, top_p, 1)).tolist())
    outside = set(torch.nonzero((likelier_V >= top_p) & certain_V)[:, 0].tolist())
    assert not drawn & outside
    kept_V = probability_V.where(likelier_V < top_p, 0)
    if bool(certain_V.all()):
        heavy = set(torch.nonzero(kept_V / kept_V.sum() > 1 / 200)[:, 0].tolist())  # two of the even draws or more
        assert heavy <= drawn


def test_a_vocabulary_of_many_blocks_is_drawn_from_in_the_order_of_its_tokens() -> None:
    logits_RV = torch.randn(64, 1500, generator=torch.Generator().manual_seed(5)) * 3
    uniform_R = torch.rand(64, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    cumulative_RV = logits_RV.double().softmax(-1).cumsum(-1)
    expected_R = torch.searchsorted(cumulative_RV, uniform_R[:, None], right=True)[:, 0]
    assert draw(logits_RV, uniform_R, Sampling(1.0, None, None, 1)).tolist() == expected_R.tolist()
