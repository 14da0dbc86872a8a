"""The losses of an encoder-decoder student: the plain reference, and the pass that encodes each question once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from tests.encoder_decoder import MODELS, make_t5_tokenizer
from tests.student.packed.architectures import make_lesson
from tests.student.training.test_passes import gradient
from tutelage.config import StudySettings
from tutelage.student.loss.separate import LessonSample, separate_passes
from tutelage.student.model.student import Student
from tutelage.student.packed.shared_encoder import share, shared_passes
from tutelage.student.training.loop import _fingerprint
from tutelage.student.training.passes import in_separate_passes, in_shared_passes, ways, why_not_shared
from tutelage.student.training.step import Losses
from tutelage.student.training.stepping import StudyStep


def make_student(make: Callable[[], PreTrainedModel]) -> Student:
    torch.manual_seed(0)
    model = make().eval()
    start = (model.config.decoder_start_token_id,)
    parts = (torch.device("cpu"), 0, 1, (), (1,), start, (1,))
    return Student(model, make_t5_tokenizer(), *parts)


@pytest.fixture
def student() -> Student:
    return make_student(MODELS["T5, tied"])


def test_the_reference_is_the_librarys_loss_and_the_decoders_last_state(student: Student) -> None:
    lesson = make_lesson(student)
    sums = separate_passes(student, lesson, margin=1.0)
    total = tokens = 0.0
    for sample in lesson:
        labels = torch.tensor([sample.anchor.token_ids[1:]])
        loss = student.model(input_ids=torch.tensor([sample.anchor.source_ids]), labels=labels).loss
        total, tokens = total + float(loss.detach()) * labels.shape[1], tokens + labels.shape[1]
    assert float(sums.language_model.total.detach()) == pytest.approx(total, rel=1e-6)
    assert float(sums.language_model.divisor) == tokens

    def state(sample: LessonSample, branch: str) -> Tensor:
        text = getattr(sample, branch)
        source, target = torch.tensor([text.source_ids]), torch.tensor([text.token_ids])
        output = student.model(input_ids=source, decoder_input_ids=target, output_hidden_states=True)
        return output.decoder_hidden_states[-1][0, -2]  # type: ignore[no-any-return]

    expected = 0.0
    for sample in lesson:
        if sample.is_triplet:
            anchor, positive, negative = (state(sample, branch) for branch in ("anchor", "positive", "negative"))
            near, far = (F.cosine_similarity(anchor, other, dim=0) for other in (positive, negative))
            expected += max(0.0, float((1 - near + far).detach()))
    assert float(sums.triplet.divisor) == 3
    assert float(sums.triplet.total.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_a_shared_encoder_comes_to_the_same(make: Callable[[], PreTrainedModel]) -> None:
    student = make_student(make)
    assert why_not_shared(student) is None
    losses_2, expected = gradient(student, in_separate_passes(student, 1.0, 0.5))
    shared_2, found = gradient(student, in_shared_passes(student, 1.0, 0.5))
    assert losses_2[1] > 0  # the gradient reaches the triplet
    torch.testing.assert_close(shared_2, losses_2, rtol=1e-6, atol=1e-7)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_each_question_is_encoded_once_and_few_logits_are_computed(student: Student) -> None:
    lesson = make_lesson(student)
    rows: list[int] = []
    predicted: list[int] = []
    encoder, head = student.model.get_encoder(), student.model.get_output_embeddings()
    handles = [
        encoder.register_forward_hook(lambda *told: rows.append(len(told[-1].last_hidden_state))),
        head.register_forward_hook(lambda *told: predicted.append(told[-1].shape[:-1].numel())),
    ]
    sums = shared_passes(student, lesson, margin=1.0)
    assert rows == [len(lesson)]
    assert predicted == [int(sums.language_model.divisor)]
    [handle.remove() for handle in handles]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in student.model.modules())


def test_batches_of_any_kind_agree(student: Student) -> None:
    """Without triplets, of triplets alone, of one sample, with a question twice, with another padding token."""
    lesson = make_lesson(student)
    draw = random.Random(0)
    for samples in (lesson[2:4], lesson[:2], lesson[4:], [*lesson[:2], lesson[0]], draw.sample(lesson, 5)):
        for one in (student, replace(student, pad_id=7)):
            expected, found = (way(one, samples, 0.7) for way in (separate_passes, shared_passes))
            for sum_, other in zip(expected, found, strict=True):
                assert float(other.total.detach()) == pytest.approx(float(sum_.total.detach()), rel=1e-5)
                assert float(other.divisor) == float(sum_.divisor)
    assert len(share(student, [lesson[0], lesson[0]]).source_QS) == 1


def test_a_student_whose_decoder_cannot_be_told_falls_back_with_a_reason(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(student.model, "get_decoder", student.model.get_encoder)
    [passes], reason = ways(student, 1.0, 0.5)
    assert reason
    lesson = make_lesson(student)
    assert passes.prepare(lesson) == lesson  # as separate passes take it


def test_a_decoder_that_goes_its_own_way_is_noticed(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the encoder's states by itself, row by row: right as long as there is a row for each text."""
    encoder, decoder = student.model.get_encoder(), student.model.get_decoder()
    seen: list[Tensor] = []
    encoder.register_forward_hook(lambda *told: seen.append(told[-1].last_hidden_state))
    forward = decoder.forward

    def own_way(**named: Tensor) -> object:
        rows = len(named["input_ids"])
        return forward(**named | {"encoder_hidden_states": seen[-1].repeat(rows, 1, 1)[:rows]})

    monkeypatch.setattr(decoder, "forward", own_way)
    assert "away from those of separate passes" in str(why_not_shared(student))


def take(student: Student, **changes: object) -> list[Losses]:
    values = {"batch_size": 5, "micro_batch_size": 5, "learning_rate": 1e-3, **changes}
    lesson = make_lesson(student)
    with StudyStep(student, StudySettings.model_validate(values), 1e-3) as step:
        return [step.take(step.prepare(lesson), 1e-3).losses() for _ in range(2)]


def test_steps_agree_with_checkpointing_and_in_micro_batches(capsys: pytest.CaptureFixture[str]) -> None:
    expected = take(make_student(MODELS["T5, tied"]))
    assert expected[-1].language_model < expected[0].language_model
    for changes in ({"micro_batch_size": 2}, {"gradient_checkpointing": True}):
        for one, other in zip(expected, take(make_student(MODELS["T5, tied"]), **changes), strict=True):
            assert other == pytest.approx(one, rel=1e-4)
    assert take(make_student(MODELS["T5, tied"]), **{"lambda": 0})[0].triplet == 0
    assert "separate passes" not in "".join(capsys.readouterr())


def test_a_study_of_other_questions_is_another_study(student: Student) -> None:
    lesson = make_lesson(student, "")
    settings = StudySettings(batch_size=5, learning_rate=1e-3)
    others = [
        replace(sample, anchor=replace(sample.anchor, source_ids=(5, *sample.anchor.source_ids))) for sample in lesson
    ]
    told = {_fingerprint(samples, settings, 1e-3, 0) for samples in (lesson, others, lesson)}
    assert len(told) == 2
