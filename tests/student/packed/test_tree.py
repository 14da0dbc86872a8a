"""The prefix tree: every text can be read back from it, every prediction and weight is there once."""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from tutelage.student.loss.separate import LessonSample
from tutelage.student.packed.attention import dense_mask, group_sizes
from tutelage.student.packed.tree import Tree, branches, common_prefix, plant
from tutelage.student.text.encoding import Sample

# Few different tokens, so that texts agree by chance too, and further than the prefixes say.
TOKENS = st.lists(st.integers(0, 2), max_size=6)
ENDS = st.lists(st.integers(0, 2), min_size=2, max_size=5)


@st.composite
def batches(draw: st.DrawFn) -> list[LessonSample]:
    before = draw(TOKENS)

    def text(question: list[int]) -> Sample:
        token_ids = (*before, *question, *draw(ENDS))
        weights = tuple(draw(st.sampled_from([0.0, 0.1, 1.0])) for _ in token_ids)
        return Sample(token_ids, weights, len(token_ids) - 2)

    samples = []
    for number in range(draw(st.integers(1, 4))):
        question = draw(TOKENS)
        whole = draw(st.booleans())
        other = (text(question), text(question)) if whole else draw(st.sampled_from([(None, None)]))
        samples.append(LessonSample(str(number), text(question), *other))
    return samples


def paths(tree: Tree) -> list[list[int]]:
    """The tokens of every text, read off the leaves."""
    parents = {id(one.parent) for one in tree.segments}
    return [tree.token_N[one.places()].tolist() for one in tree.segments if id(one) not in parents]


@given(batches())
def test_every_text_is_a_path_and_no_token_stands_there_without_need(samples: list[LessonSample]) -> None:
    tree = plant(samples)
    texts = [list(text.token_ids) for sample in samples for text in branches(sample)]
    assert paths(tree) == texts
    assert sum(one.length for one in tree.segments) == len(tree.token_N)
    shared = common_prefix([tuple(text) for text in texts])
    assert tree.segments[0].length == shared
    assert len(tree.token_N) <= shared + sum(len(text) - shared for text in texts)
    assert tree.longest == max(map(len, texts))


@given(batches())
def test_positions_count_along_each_path(samples: list[LessonSample]) -> None:
    tree = plant(samples)
    for one in tree.segments:
        assert tree.position_N[one.places()].tolist() == list(range(one.depth + one.length))


@given(batches())
def test_every_anchor_token_with_a_weight_is_predicted_from_the_one_before_it(samples: list[LessonSample]) -> None:
    tree = plant(samples)
    # A prediction is told by the text so far; what samples share is one prediction with the sum of their weights.
    expected: Counter[tuple[int, ...]] = Counter()
    for sample in samples:
        for end in range(1, len(sample.anchor.token_ids)):
            expected[sample.anchor.token_ids[: end + 1]] += sample.anchor.weights[end]  # type: ignore[assignment]
    found: Counter[tuple[int, ...]] = Counter()
    path_of = {int(place): one.places()[: i + 1] for one in tree.segments for i, place in enumerate(one.places())}
    for source, target, weight in zip(tree.source_M, tree.target_M, tree.weight_M, strict=True):
        before = tree.token_N[path_of[int(source)]].tolist()
        found[(*before, int(target))] += float(weight)  # type: ignore[assignment]
    assert found.keys() == {text for text, weight in expected.items() if weight > 0}
    assert all(abs(found[text] - expected[text]) < 1e-6 for text in found)
    assert abs(tree.weight - sum(expected.values())) < 1e-6


@given(batches())
def test_states_are_read_at_the_last_token_of_each_text_of_a_triplet(samples: list[LessonSample]) -> None:
    tree = plant(samples)
    whole = [sample for sample in samples if sample.is_triplet]
    assert tree.state_K3.shape == (len(whole), 3)
    for sample, places in zip(whole, tree.state_K3.tolist(), strict=True):
        for text, place in zip(branches(sample), places, strict=True):
            assert int(tree.position_N[place]) == text.last
            assert int(tree.token_N[place]) == text.token_ids[text.last]


@given(batches(), st.sampled_from([None, 1, 3]))
def test_a_token_sees_its_own_path_and_nothing_else(samples: list[LessonSample], window: int | None) -> None:
    tree = plant(samples)
    mask_NN = dense_mask(tree, torch.device("cpu"), window)[0, 0]
    expected_NN = torch.zeros_like(mask_NN)
    for one in tree.segments:
        places = one.places()
        for position in range(one.depth, one.depth + one.length):
            first = 0 if window is None else max(0, position - window + 1)
            expected_NN[places[position], places[first : position + 1]] = True
    assert torch.equal(mask_NN, expected_NN)


@given(batches())
def test_groups_cover_the_pack_and_see_only_themselves_and_the_root(samples: list[LessonSample]) -> None:
    tree = plant(samples)
    sizes = group_sizes(tree)
    assert sum(sizes) == len(tree.token_N)
    assert len(sizes) == 1 + len(samples)
    mask_NN = dense_mask(tree, torch.device("cpu"))[0, 0]
    start = sizes[0]
    for size in sizes[1:]:
        assert not mask_NN[start : start + size, sizes[0] : start].any()
        start += size
