"""The reference for the joint loss: what it is made of, padding, micro-batches, gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tutelage.student.loss.losses import joint_loss
from tutelage.student.loss.separate import LessonSample, separate_passes
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import Sample, encode_sample, pad

DEMONSTRATIONS = "Question: Two and two?\nReasoning: 2 + 2 = 4.\nAnswer: 4\n\n"


def encode(student: Student, question: str, solution: str) -> Sample:
    return encode_sample(student, DEMONSTRATIONS, f"Question: {question}\nReasoning:", f" {solution}", 0.1)


@pytest.fixture
def lesson(tiny_student: Student) -> list[LessonSample]:
    """Two whole triplets, one without a negative, one without a positive, of different lengths."""
    triples = [
        ("Three and one?", "3 + 1 = 4.\nAnswer: 4", "One more than 3 is 4.\nAnswer: 4", "3 + 1 = 5.\nAnswer: 5"),
        ("Two cows?", "A cow has 4 legs. 2 * 4 = 8.\nAnswer: 8", "8.\nAnswer: 8", "2 + 4 = 6.\nAnswer: 6"),
        ("Six and six?", "6 + 6 = 12.\nAnswer: 12", "12.\nAnswer: 12", None),
        ("Nine?", "It is 9.\nAnswer: 9", None, "It is 8.\nAnswer: 8"),
    ]
    return [
        LessonSample(question, *(None if text is None else encode(tiny_student, question, text) for text in texts))  # type: ignore[arg-type]
        for question, *texts in triples
    ]


def test_the_language_model_loss_is_the_weighted_mean_over_single_samples(
    tiny_student: Student, lesson: list[LessonSample]
) -> None:
    sums = separate_passes(tiny_student, lesson, margin=1.0)
    expected = weights = 0.0
    for sample in lesson:
        ids = torch.tensor([sample.anchor.token_ids])
        log_probability = F.log_softmax(tiny_student.model(input_ids=ids).logits[0].float(), dim=-1)
        for position in range(1, ids.shape[1]):
            weight = sample.anchor.weights[position]
            expected -= weight * float(log_probability[position - 1, ids[0, position]].detach())
            weights += weight
    assert float(sums.language_model.total.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(sums.language_model.divisor) == pytest.approx(weights, rel=1e-6)


def test_the_triplet_loss_reads_the_last_layer_at_the_answer(tiny_student: Student, lesson: list[LessonSample]) -> None:
    sums = separate_passes(tiny_student, lesson, margin=1.0)

    def state(sample: Sample | None) -> torch.Tensor:
        assert sample is not None
        output = tiny_student.model(input_ids=torch.tensor([sample.token_ids]), output_hidden_states=True)
        return output.hidden_states[-1][0, sample.last]  # type: ignore[no-any-return]

    expected = 0.0
    for sample in lesson[:2]:
        near = F.cosine_similarity(state(sample.anchor), state(sample.positive), dim=0)
        far = F.cosine_similarity(state(sample.anchor), state(sample.negative), dim=0)
        expected += max(0.0, float((1 - near + far).detach()))
    assert float(sums.triplet.total.detach()) == pytest.approx(expected, rel=1e-4)
    assert float(sums.triplet.divisor) == 2  # the two that lack a part are masked out


def test_without_any_triplet_the_loss_is_the_language_models(tiny_student: Student, lesson: list[LessonSample]) -> None:
    sums = separate_passes(tiny_student, lesson[2:], margin=1.0)
    assert float(sums.triplet.total) == float(sums.triplet.divisor) == 0
    joint_loss(sums.language_model.total, sums.triplet.total, 0.5).backward()


def gradients(student: Student, groups: list[list[LessonSample]]) -> dict[str, torch.Tensor]:
    student.model.zero_grad()
    samples = [sample for group in groups for sample in group]
    weight = sum(sum(sample.anchor.weights[1:]) for sample in samples)
    triplets = sum(sample.is_triplet for sample in samples)
    for group in groups:
        sums = separate_passes(student, group, margin=1.0)
        joint_loss(sums.language_model.total / weight, sums.triplet.total / triplets, 0.5).backward()
    return {name: p.grad.clone() for name, p in student.model.named_parameters() if p.grad is not None}


def test_gradients_do_not_depend_on_micro_batches_or_padding(tiny_student: Student, lesson: list[LessonSample]) -> None:
    whole = gradients(tiny_student, [lesson])
    for groups in ([[sample] for sample in lesson], [lesson[:1], lesson[1:]], [lesson[3:], lesson[:3]]):
        split = gradients(tiny_student, groups)
        assert whole.keys() == split.keys()
        for name, gradient in whole.items():
            scale = float(gradient.abs().max()) + 1e-12
            assert float((gradient - split[name]).abs().max()) / scale < 1e-4, name


def test_padding_changes_neither_loss(tiny_student: Student, lesson: list[LessonSample]) -> None:
    alone = separate_passes(tiny_student, lesson[:1], margin=1.0)
    longer = replace(lesson[2], anchor=encode(tiny_student, "Long?", "so " * 60 + "\nAnswer: 3"))
    padded = separate_passes(tiny_student, [lesson[0], longer], margin=1.0)
    only_longer = separate_passes(tiny_student, [longer], margin=1.0)
    assert float(padded.triplet.total.detach()) == pytest.approx(float(alone.triplet.total.detach()), rel=1e-5)
    both = float(alone.language_model.total) + float(only_longer.language_model.total)
    assert float(padded.language_model.total) == pytest.approx(both, rel=1e-5)


def test_the_padding_token_itself_is_never_read(tiny_student: Student, lesson: list[LessonSample]) -> None:
    before = separate_passes(tiny_student, lesson, margin=1.0)
    other = replace(tiny_student, pad_id=tiny_student.eos_id)
    after = separate_passes(other, lesson, margin=1.0)
    assert float(after.language_model.total) == pytest.approx(float(before.language_model.total), rel=1e-6)
    assert float(after.triplet.total) == pytest.approx(float(before.triplet.total), rel=1e-6)


def test_the_gradient_reaches_the_prefix_through_the_triplet(tiny_student: Student, lesson: list[LessonSample]) -> None:
    tiny_student.model.zero_grad()
    sums = separate_passes(tiny_student, lesson[:1], margin=1.0)
    sums.triplet.total.backward()
    # The demonstrations' words alone: no other part of the text holds "Two" at its start.
    embedding = tiny_student.model.get_input_embeddings().weight.grad
    assert isinstance(embedding, torch.Tensor)
    batch = pad([lesson[0].anchor], tiny_student.pad_id, torch.device("cpu"))
    others = [s for s in (lesson[0].positive, lesson[0].negative) if s is not None]
    first = int(batch.token_BT[0, len(tiny_student.bos)])
    assert all(first == sample.token_ids[len(tiny_student.bos)] for sample in others)
    assert float(embedding[first].abs().max()) > 0


def test_no_hook_is_left_in_the_model(tiny_student: Student, lesson: list[LessonSample]) -> None:
    separate_passes(tiny_student, lesson, margin=1.0)
    modules = list(tiny_student.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
