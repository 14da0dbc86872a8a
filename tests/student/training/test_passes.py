"""Which way to the gradients a student takes, found out from the model itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.student.packed.architectures import GROUPED, OWN_ATTENTION, PACKED, SEPARATE, make_lesson, make_student
from tests.tiny import make_model
from tutelage.student.model.student import Student
from tutelage.student.packed.attention import UnknownLayerError, masks_by_layer
from tutelage.student.training.passes import (
    Passes,
    difference,
    in_packed_passes,
    in_separate_passes,
    ways,
    why_not_packed,
)


def gradient(student: Student, passes: Passes) -> tuple[Tensor, Tensor]:
    """Both losses [2] and the whole gradient after one global batch in two micro-batches."""
    lesson = make_lesson(student)
    weight = sum(sum(sample.anchor.weights[1:]) for sample in lesson)
    triplets = sum(sample.is_triplet for sample in lesson)
    student.model.zero_grad()
    with passes.running():
        parts = [passes.backward(passes.prepare(part), weight, triplets) for part in (lesson[:2], lesson[2:])]
    grads = [parameter.grad.flatten() for parameter in student.model.parameters() if parameter.grad is not None]
    return torch.stack(parts).sum(0), torch.cat(grads)


@pytest.mark.parametrize("make", PACKED.values(), ids=PACKED.keys())
def test_a_model_that_takes_the_mask_is_packed(make: Callable[[], PreTrainedModel]) -> None:
    assert why_not_packed(make_student(make)) is None


@pytest.mark.parametrize("make", SEPARATE.values(), ids=SEPARATE.keys())
def test_a_model_that_does_not_falls_back_with_a_reason(make: Callable[[], PreTrainedModel]) -> None:
    student = make_student(make)
    [passes], reason = ways(student, 1.0, 0.5)
    assert reason
    losses_2, _ = gradient(student, passes)
    assert losses_2.isfinite().all()


@pytest.mark.parametrize("name", ["Llama", "Gemma 3, a window in every other layer"])
def test_both_ways_come_to_the_same(name: str) -> None:
    student = make_student(PACKED[name])
    losses_2, expected = gradient(student, in_separate_passes(student, 1.0, 0.5))
    packed_2, found = gradient(student, in_packed_passes(student, 1.0, 0.5))
    torch.testing.assert_close(packed_2, losses_2, rtol=1e-6, atol=1e-7)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize("make", OWN_ATTENTION.values(), ids=OWN_ATTENTION.keys())
def test_a_mask_that_is_added_to_scores_comes_to_the_same(make: Callable[[], PreTrainedModel]) -> None:
    student = make_student(make)
    [own, _], reason = ways(student, 1.0, 0.5)
    assert (own.most_samples, reason) == (4, None)
    losses_2, expected = gradient(student, in_separate_passes(student, 1.0, 0.5))
    packed_2, found = gradient(student, own)
    torch.testing.assert_close(packed_2, losses_2, rtol=1e-6, atol=1e-7)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_a_mask_that_is_added_is_refused_where_it_does_nothing() -> None:
    student = make_student(OWN_ATTENTION["GPT-J"])
    for layer in student.model.base_model.h:  # type: ignore[union-attr]
        attend = layer.attn._attn
        layer.attn._attn = lambda query, key, value, mask, attend=attend: attend(query, key, value, mask.clamp(min=-1))
    assert why_not_packed(student, own_attention=True) is not None


def test_positions_that_are_ignored_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    student = make_student(PACKED["Llama"])
    forward = student.model.base_model.forward

    def deaf(*args: object, **kwargs: object) -> object:
        kwargs.pop("position_ids", None)
        return forward(*args, **kwargs)

    monkeypatch.setattr(student.model.base_model, "forward", deaf)
    reason = why_not_packed(student)
    assert reason is not None
    assert "separate passes" in reason


def test_a_loss_that_is_no_number_is_no_agreement() -> None:
    good, nan = torch.tensor([7.0, 1.0]), torch.tensor([7.0, float("nan")])
    assert difference(good, good * 1.0001, 1e-3) is None
    assert difference(good, nan, 1e-3) is not None
    assert difference(nan, good, 1e-3) is not None
    assert difference(good, good + torch.tensor([0.0, 0.1]), 1e-3) is not None
    assert difference(torch.tensor([7.0, 0.0]), torch.tensor([7.0, 1e-4]), 1e-3) is None


def test_the_probe_leaves_the_model_as_it_was() -> None:
    student = make_student(PACKED["Llama"])
    student.model.train()
    before = student.model.config._attn_implementation
    why_not_packed(student)
    assert student.model.training
    assert student.model.config._attn_implementation == before
    assert all(parameter.grad is None for parameter in student.model.parameters())


def test_layers_of_an_unknown_type_take_no_tree_mask() -> None:
    model = make_model(320)
    model.config.layer_types = ["full_attention", "chunked_attention"]
    with pytest.raises(UnknownLayerError, match="chunked_attention"):
        masks_by_layer(model, 100, lambda window: window)


@pytest.mark.parametrize(
    ("types", "longest", "expected"),
    [
        (None, 9, 8),
        (None, 8, None),
        (["sliding_attention"], 9, 8),
        (["full_attention"], 9, None),
        (["full_attention", "sliding_attention"], 9, {"full_attention": None, "sliding_attention": 8}),
        (["full_attention", "sliding_attention"], 8, None),
    ],
)
def test_a_window_counts_where_a_path_is_longer(types: list[str] | None, longest: int, expected: object) -> None:
    model = make_student(PACKED["Mistral, a window in all layers"]).model
    assert model.config.sliding_window == GROUPED.get("sliding_window", 8)
    model.config.layer_types = types
    assert masks_by_layer(model, longest, lambda window: window) == expected
