"""The step that ours is measured against computes what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from measuring.lessons import make_batches, question_end
from measuring.models import load_model
from released_step import released_passes
from tutelage.student.loss.separate import JointSums, LessonSample, separate_passes
from tutelage.student.model.student import Student


@pytest.fixture
def student() -> Student:
    return load_model("tiny", "cpu")


@pytest.fixture
def samples(student: Student) -> list[LessonSample]:
    return make_batches(student, 1, 5, demonstrations=30, seed=0)[0]


def gradient(student: Student, sums: JointSums, of_triplet: bool) -> torch.Tensor:
    student.model.zero_grad()
    (sums.triplet if of_triplet else sums.language_model).total.backward()
    return torch.cat([p.grad.flatten() for p in student.model.parameters() if p.grad is not None])


def test_its_losses_are_the_references(student: Student, samples: list[LessonSample]) -> None:
    """Stopping a gradient changes no loss."""
    released, reference = (passes(student, samples, 1.0) for passes in (released_passes, separate_passes))
    torch.testing.assert_close(released, reference, rtol=1e-5, atol=1e-5)


def test_the_prefix_gets_no_gradient_from_the_triplet_loss(student: Student, samples: list[LessonSample]) -> None:
    def both(of_triplet: bool) -> tuple[torch.Tensor, torch.Tensor]:
        released = gradient(student, released_passes(student, samples, 1.0), of_triplet)
        return released, gradient(student, separate_passes(student, samples, 1.0), of_triplet)

    torch.testing.assert_close(*both(of_triplet=False), rtol=1e-3, atol=1e-4)
    stopped, whole = both(of_triplet=True)
    assert (stopped - whole).norm() / whole.norm() > 0


def test_samples_that_are_no_triplets_have_the_language_model_loss_only(
    student: Student, samples: list[LessonSample]
) -> None:
    mixed = [replace(samples[0], positive=None), *samples[1:3], replace(samples[3], negative=None)]
    released, reference = (passes(student, mixed, 1.0) for passes in (released_passes, separate_passes))
    torch.testing.assert_close(released, reference, rtol=1e-5, atol=1e-5)
    none = released_passes(student, [mixed[0]], 1.0)
    assert none.triplet.divisor == 0 < none.language_model.total


def test_texts_part_where_their_rationales_begin(samples: list[LessonSample]) -> None:
    for sample in samples:
        end = question_end(sample)
        assert sample.positive is not None
        assert sample.anchor.token_ids[:end] == sample.positive.token_ids[:end]
        assert end > 30
