"""One optimizer step: micro-batches, memory that runs out, a way that turns out to be closed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.student.packed.architectures import OWN_ATTENTION, PACKED, SEPARATE, make_lesson, make_student
from tutelage.config import StudySettings
from tutelage.errors import StudentError
from tutelage.student.model.gradient_checkpointing import checkpoints_activations
from tutelage.student.model.student import Student
from tutelage.student.training import stepping
from tutelage.student.training.optimizer import allocate_state, make_optimizer
from tutelage.student.training.passes import EagerPasses, in_packed_passes, in_separate_passes
from tutelage.student.training.step import Losses
from tutelage.student.training.stepping import StudyStep

RATE = 1e-3


def settings(**changes: object) -> StudySettings:
    return StudySettings.model_validate({"batch_size": 5, "micro_batch_size": 5, "learning_rate": RATE, **changes})


def weights(student: Student) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in student.model.parameters()])


def take(student: Student, steps: int = 2, **changes: object) -> list[Losses]:
    lesson = make_lesson(student)
    with StudyStep(student, settings(**changes), RATE) as step:
        return [step.take(step.prepare(lesson), RATE).losses() for _ in range(steps)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_change_nothing_but_rounding(size: int) -> None:
    whole, parts = make_student(PACKED["Llama"]), make_student(PACKED["Llama"])
    expected, found = take(whole), take(parts, micro_batch_size=size)
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-5, rtol=1e-4)


def test_a_student_without_a_tree_mask_says_so_and_learns(capsys: pytest.CaptureFixture[str]) -> None:
    losses = take(make_student(SEPARATE["GPT-Neo, a local layer"]), steps=4)
    said = capsys.readouterr()
    assert "separate passes, which are slower: layers of type local" in " ".join((said.out + said.err).split())
    assert losses[-1].language_model < losses[0].language_model


def test_a_student_with_an_attention_of_its_own_studies_a_few_samples_at_a_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tutelage.student.training.passes.OWN_ATTENTION_SAMPLES", 2)
    whole, parts = make_student(OWN_ATTENTION["GPT-J"]), make_student(OWN_ATTENTION["GPT-J"])
    with StudyStep(parts, settings(), RATE) as step:
        assert len(step.prepare(make_lesson(parts)).micro) == 3
    found = take(parts)
    monkeypatch.setattr("tutelage.student.training.stepping.ways", lambda *named: ([in_separate_passes(*named)], None))
    for one, other in zip(take(whole), found, strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-5, rtol=1e-4)
    assert "slower" not in "".join(capsys.readouterr())


def test_without_lambda_no_branch_but_the_anchors_is_packed() -> None:
    student = make_student(PACKED["Llama"])
    with StudyStep(student, settings(**{"lambda": 0}), RATE) as step:
        batch = step.prepare(make_lesson(student))
        assert batch.triplets == 0
        assert len(batch.micro[0].segments) == 1 + len(batch.samples)
        assert step.take(batch, RATE).losses().triplet == 0


def test_the_model_is_as_before_afterwards() -> None:
    student = make_student(PACKED["Llama"])
    attention = student.model.config._attn_implementation
    take(student)
    assert not student.model.training
    assert student.model.config._attn_implementation == attention
    assert all(parameter.grad is None for parameter in student.model.parameters())


class Cramped(EagerPasses):
    """Passes on a machine whose memory holds so many samples, and that says it in one of several ways."""

    limit = 5
    needs_checkpointing = False
    error: Exception = torch.OutOfMemoryError("CUDA out of memory.")
    tried: list[int]

    def backward(self, prepared: Any, weight: float, triplets: int) -> torch.Tensor:
        samples = sum(one.parent is prepared.segments[0] for one in prepared.segments[1:])
        self.tried.append(samples)
        checkpointed = checkpoints_activations(self._student.model)
        loss = super().backward(prepared, weight, triplets)
        # Late, when the gradients are already there.
        if samples > self.limit or (self.needs_checkpointing and not checkpointed):
            raise self.error
        return loss


def go_first(monkeypatch: pytest.MonkeyPatch, kind: type[EagerPasses], alone: bool = False) -> None:
    """Packed passes of this kind come first, and plain ones after them unless they are alone."""

    def ways(student: Student, margin: float, lambda_: float, root: None = None) -> tuple[list[Any], None]:
        first, second = (in_packed_passes(student, margin, lambda_) for _ in range(2))
        first.__class__ = kind
        return [first] if alone else [first, second], None

    monkeypatch.setattr(stepping, "ways", ways)


def cramp(monkeypatch: pytest.MonkeyPatch, **facts: object) -> list[int]:
    tried: list[int] = []
    go_first(monkeypatch, type("Cramped", (Cramped,), {"tried": tried, **facts}), alone=True)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        MemoryError(),
    ],
)
def test_when_memory_runs_out_it_checkpoints_then_halves_and_the_result_is_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    roomy = make_student(PACKED["Llama"])
    expected = take(roomy, steps=3)
    tried = cramp(monkeypatch, limit=2, error=error)
    student = make_student(PACKED["Llama"])
    found = take(student, steps=3)
    assert tried == [5, 5, 3, 2, 2, 1, 2, 2, 1, 2, 2, 1]
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    said = "".join(capsys.readouterr())
    assert said.count("gradient checkpointing") == 1
    assert "micro-batches of 2 " in said
    assert not checkpoints_activations(student.model)


def test_checkpointing_alone_may_do(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = cramp(monkeypatch, needs_checkpointing=True)
    take(make_student(PACKED["Llama"]), steps=2)
    assert tried == [5, 5, 5]


def test_on_a_cpu_a_pass_takes_few_samples_unless_the_recipe_says_otherwise() -> None:
    student = make_student(PACKED["Llama"])
    with StudyStep(student, settings(micro_batch_size=None), RATE) as step:
        assert len(step.prepare(make_lesson(student)).micro) == 2


def test_the_recipe_may_ask_for_it_or_forbid_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = cramp(monkeypatch, needs_checkpointing=True)
    take(make_student(PACKED["Llama"]), steps=1, gradient_checkpointing=True)
    assert tried == [5]
    tried = cramp(monkeypatch, limit=3)
    student = make_student(PACKED["Llama"])
    with StudyStep(student, settings(gradient_checkpointing=False), RATE) as step:
        step.take(step.prepare(make_lesson(student)), RATE)
        assert not checkpoints_activations(student.model)
    assert tried == [5, 3, 2]


def test_when_not_even_one_sample_fits_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    cramp(monkeypatch, limit=0)
    student = make_student(PACKED["Llama"])
    before = weights(student)
    with pytest.raises(StudentError, match=r"single sample.*prompt\.count"):
        take(student)
    assert torch.equal(weights(student), before)


def test_a_way_that_is_closed_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = take(make_student(PACKED["Llama"]))

    class Closed(EagerPasses):
        def backward(self, prepared: Any, weight: float, triplets: int) -> torch.Tensor:
            super().backward(prepared, weight, triplets)
            raise ValueError("no compiler here\nand a long trace")

    go_first(monkeypatch, Closed)
    found = take(make_student(PACKED["Llama"]))
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    said = "".join(capsys.readouterr())
    assert said.count("no compiler here") == 1
    assert "long trace" not in said


def test_a_way_may_close_in_the_middle_of_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = take(make_student(PACKED["Llama"]), steps=4)
    left = [3]

    class Closing(EagerPasses):
        def backward(self, prepared: Any, weight: float, triplets: int) -> torch.Tensor:
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("operation not permitted when stream is capturing")
            return super().backward(prepared, weight, triplets)

    go_first(monkeypatch, Closing)
    for one, other in zip(expected, take(make_student(PACKED["Llama"]), steps=4), strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    assert left[0] == -1


def test_a_way_whose_losses_are_wrong_is_found_out_at_the_first_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = take(make_student(PACKED["Llama"]))

    class Wrong(EagerPasses):
        def backward(self, prepared: Any, weight: float, triplets: int) -> torch.Tensor:
            return super().backward(prepared, weight, triplets) * torch.tensor([1.2, 1.0])

    go_first(monkeypatch, Wrong)
    for one, other in zip(expected, take(make_student(PACKED["Llama"])), strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    assert "away from those of separate passes" in "".join(capsys.readouterr())


def test_nothing_is_left_behind_if_the_first_way_cannot_be_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shut(EagerPasses):
        def running(self) -> Any:
            raise NotImplementedError("no layers")

    go_first(monkeypatch, Shut, alone=True)
    student = make_student(PACKED["Llama"])
    with pytest.raises(NotImplementedError):
        take(student, gradient_checkpointing=True)
    assert not student.model.training
    assert not checkpoints_activations(student.model)


def test_a_way_that_cannot_be_entered_gives_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = take(make_student(PACKED["Llama"]))

    class Shut(EagerPasses):
        def running(self) -> Any:
            raise NotImplementedError("no layers")

    go_first(monkeypatch, Shut)
    for one, other in zip(expected, take(make_student(PACKED["Llama"])), strict=True):
        assert other == pytest.approx(one, rel=1e-5)


def test_checkpointing_leaves_no_hooks_behind() -> None:
    student = make_student(PACKED["Llama"])
    for _ in range(3):
        take(student, steps=1, gradient_checkpointing=True)
    assert not any(module._forward_hooks for module in student.model.modules())


def test_the_optimizers_state_is_that_of_its_first_step() -> None:
    student = make_student(PACKED["Llama"])
    optimizer = make_optimizer(student, settings(), RATE)
    allocate_state(optimizer)
    parameter = next(student.model.parameters())
    made = {name: (value.shape, value.dtype, value.device) for name, value in optimizer.state[parameter].items()}
    fresh = make_optimizer(student, settings(), RATE)
    parameter.grad = torch.zeros_like(parameter)
    fresh.step()
    assert made == {name: (value.shape, value.dtype, value.device) for name, value in fresh.state[parameter].items()}
    assert float(optimizer.state[parameter]["step"]) == 0


def test_an_error_of_the_last_way_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    cramp(monkeypatch, limit=0, error=ValueError("a real mistake"))
    with pytest.raises(ValueError, match="a real mistake"):
        take(make_student(PACKED["Llama"]))


def test_a_loss_that_is_no_number_ends_the_study() -> None:
    student = make_student(PACKED["Llama"])
    with torch.no_grad():
        next(student.model.parameters()).mul_(float("nan"))
    with pytest.raises(StudentError, match=r"The loss became nan .* learning rate 0\.001"):
        take(student)
