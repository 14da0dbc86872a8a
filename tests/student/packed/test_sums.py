"""One packed pass gives the losses and gradients of separate passes, for every architecture that takes its mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.student.packed.architectures import DEMONSTRATIONS, PACKED, make_lesson, make_student
from tutelage.student.loss.losses import joint_loss
from tutelage.student.loss.separate import JointSums, LessonSample, separate_passes
from tutelage.student.model.attention import exchanged_attention
from tutelage.student.model.gradient_checkpointing import checkpoint_activations
from tutelage.student.model.student import Student
from tutelage.student.packed.attention import TREE
from tutelage.student.packed.sums import packed_passes, predicted_loss

LAMBDA, MARGIN = 0.5, 1.0
Way = Callable[[Student, Sequence[LessonSample], float], JointSums]


def gradients(student: Student, way: Way, parts: Sequence[Sequence[LessonSample]]) -> tuple[float, Tensor]:
    """The joint loss of a global batch in micro-batches, and its gradient as one vector."""
    samples = [sample for part in parts for sample in part]
    weight = sum(sum(sample.anchor.weights[1:]) for sample in samples)
    triplets = sum(sample.is_triplet for sample in samples)
    student.model.zero_grad()
    total = 0.0
    for part in parts:
        language_model, triplet = way(student, part, MARGIN)
        loss = joint_loss(language_model.total / weight, triplet.total / triplets, LAMBDA)
        loss.backward()
        total += float(loss.detach())
    grads = [parameter.grad.flatten() for parameter in student.model.parameters() if parameter.grad is not None]
    return total, torch.cat(grads)


def assert_equal(student: Student, parts: Sequence[Sequence[LessonSample]]) -> None:
    """Packed micro-batches against the whole batch in separate passes."""
    whole = [sample for part in parts for sample in part]
    loss, gradient = gradients(student, separate_passes, [whole])
    with exchanged_attention(student.model, TREE):
        packed_loss, packed_gradient = gradients(student, packed_passes, parts)
    assert packed_loss == pytest.approx(loss, rel=1e-6)
    assert float((packed_gradient - gradient).norm() / gradient.norm()) < 1e-5
    assert float(gradient.norm()) > 1e-2


@pytest.mark.parametrize("make", PACKED.values(), ids=PACKED.keys())
def test_losses_and_gradients_equal_those_of_separate_passes(make: Callable[[], PreTrainedModel]) -> None:
    student = make_student(make)
    assert_equal(student, [make_lesson(student)])


@pytest.mark.parametrize("split", [(1, 4), (2, 3), (1, 1, 1, 1, 1)])
def test_any_split_into_micro_batches_gives_the_same(split: tuple[int, ...]) -> None:
    student = make_student(PACKED["Llama"])
    lesson = iter(make_lesson(student))
    assert_equal(student, [[next(lesson) for _ in range(size)] for size in split])


@pytest.mark.parametrize("demonstrations", ["", DEMONSTRATIONS * 4])
def test_with_and_without_demonstrations(demonstrations: str) -> None:
    student = make_student(PACKED["Llama"])
    assert_equal(student, [make_lesson(student, demonstrations)])


def test_a_batch_without_a_whole_triplet_has_no_triplet_loss() -> None:
    student = make_student(PACKED["Llama"])
    lesson = [sample for sample in make_lesson(student) if not sample.is_triplet]
    with exchanged_attention(student.model, TREE):
        found = packed_passes(student, lesson, MARGIN)
    assert float(found.triplet.total) == float(found.triplet.divisor) == 0
    expected = separate_passes(student, lesson, MARGIN)
    assert float(found.language_model.total.detach()) == pytest.approx(float(expected.language_model.total.detach()))
    assert float(found.language_model.divisor) == pytest.approx(float(expected.language_model.divisor))


def test_gradient_checkpointing_changes_nothing() -> None:
    student = make_student(PACKED["Llama"])
    student.model.train()
    lesson = make_lesson(student)
    with exchanged_attention(student.model, TREE):
        loss, gradient = gradients(student, packed_passes, [lesson])
        checkpoint_activations(student.model, True)
        again, same = gradients(student, packed_passes, [lesson])
    assert again == pytest.approx(loss, rel=1e-6)
    assert float((same - gradient).norm() / gradient.norm()) < 1e-6


def test_chunks_of_logits_add_up_and_each_is_computed_twice() -> None:
    torch.manual_seed(0)
    hidden_MD = torch.randn(10, 4, requires_grad=True)
    target_M, weight_M = torch.randint(0, 7, (10,)), torch.rand(10)
    linear = torch.nn.Linear(4, 7)
    rows: list[int] = []

    def head(hidden_CD: Tensor) -> Tensor:
        rows.append(len(hidden_CD))
        return linear(hidden_CD)  # type: ignore[no-any-return]

    whole = predicted_loss(head, hidden_MD, target_M, weight_M)
    [expected] = torch.autograd.grad(whole, hidden_MD)
    assert rows == [10]
    rows.clear()
    chunked = predicted_loss(head, hidden_MD, target_M, weight_M, chunk=4)
    [found] = torch.autograd.grad(chunked, hidden_MD)
    assert float(chunked.detach()) == pytest.approx(float(whole.detach()), rel=1e-6)
    torch.testing.assert_close(found, expected)
    assert sorted(rows) == [2, 2, 4, 4, 4, 4]


def test_the_gradient_is_the_same_every_time() -> None:
    """Also on several threads, which is what a resumed study that ends bit for bit rests on."""
    student = make_student(PACKED["Llama"])
    # Many predictions from the same place: what many samples share, a parent's last token.
    lesson = [sample for _ in range(30) for sample in make_lesson(student)]
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with exchanged_attention(student.model, TREE):
            _, first = gradients(student, packed_passes, [lesson])
            assert all(torch.equal(first, gradients(student, packed_passes, [lesson])[1]) for _ in range(8))
    finally:
        torch.set_num_threads(threads)
