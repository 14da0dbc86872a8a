"""What the ranks of tests/student/ranks/test_ranks.py do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from tests.encoder_decoder import MODELS
from tests.student.packed.architectures import OWN_ATTENTION, PACKED, SEPARATE, make_lesson, make_student
from tests.student.packed.test_shared_encoder import make_student as make_encoder_decoder
from tutelage import distributed
from tutelage.config import StudySettings
from tutelage.errors import WorkspaceError
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student, save_student
from tutelage.student.ranks.sharding import Root, gather_weights, is_sharded, whole
from tutelage.student.training import checkpoint, stepping
from tutelage.student.training.loop import Step, study
from tutelage.student.training.passes import EagerPasses, Passes, in_packed_passes

SETTINGS = {"epochs": 1, "batch_size": 3, "warmup_steps": 2, "checkpoint_steps": 2}


def make_lesson_of_ten(student: Student) -> list[LessonSample]:
    """Samples of different lengths, half of them no whole triplets, in four batches of three or two."""
    samples = make_lesson(student)
    return [*samples, *(LessonSample(f"{one.question_id} again", one.anchor, None, one.negative) for one in samples)]


def train(
    model: str = "Llama",
    changes: dict[str, Any] | None = None,
    path: str = "",
    stop_after: int | None = None,
    save: str = "",
) -> dict[str, Any]:
    """The steps of a study and the weights after it. path: of its checkpoints. stop_after: so many, as if killed then.

    save: where the student is kept.
    """
    makers = PACKED | OWN_ATTENTION | SEPARATE
    student = make_student(makers[model]) if model in makers else make_encoder_decoder(MODELS[model])
    steps: list[dict[str, Any]] = []

    def on_step(step: Step) -> None:
        steps.append(asdict(step))
        if step.step == stop_after:
            raise KeyboardInterrupt

    settings = StudySettings.model_validate(SETTINGS | ({} if path else {"checkpoint_steps": 100}) | (changes or {}))
    try:
        study(student, make_lesson_of_ten(student), settings, 1e-3, 7, Path(path or "/nonexistent"), on_step)
    except KeyboardInterrupt:
        assert stop_after is not None
    if save:
        weights = gather_weights(student.model)
        if distributed.is_leader():
            save_student(student, Path(save), weights)
    found = [value for weight in student.model.parameters() for value in whole(weight).flatten().tolist()]
    return {"steps": steps, "weights": found, "sharded": is_sharded(student.model)}


def train_short_of_memory(call: int) -> dict[str, Any]:
    """As train, but on rank 1 memory runs out at the end of that backward pass, counted from 1."""
    backward, calls = EagerPasses.backward, [0]

    def cramped(self: EagerPasses, prepared: Any, weight: float, triplets: int) -> torch.Tensor:
        calls[0] += 1
        losses_2 = backward(self, prepared, weight, triplets)
        if distributed.rank() == 1 and calls[0] == call:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return losses_2

    EagerPasses.backward = cramped  # type: ignore[method-assign]  # in a process that ends after it
    return train()


def train_by_a_closed_way(sharding: str) -> dict[str, Any]:
    """As train, but the first way fails on rank 1 at the end of its backward pass."""

    class Closed(EagerPasses):
        def backward(self, prepared: Any, weight: float, triplets: int) -> torch.Tensor:
            losses_2 = super().backward(prepared, weight, triplets)
            if distributed.rank() == 1:
                raise ValueError("no compiler here")
            return losses_2

    def ways(student: Student, margin: float, lambda_: float, root: Root | None = None) -> tuple[list[Passes], None]:
        first, second = (in_packed_passes(student, margin, lambda_, root) for _ in range(2))
        first.__class__ = Closed
        return [first, second], None

    stepping.ways = ways  # type: ignore[attr-defined]  # in a process that ends after it
    return train(changes={"sharding": sharding})


def train_on_a_full_disk(path: str, sharding: str) -> dict[str, Any]:
    """Checkpoints in many files; the disk of the last rank is full from the second checkpoint on."""
    last = distributed.world_size() - 1
    checkpoint.FILE_BYTES = 20_000

    def full(tensors: Any, file: str) -> None:
        if distributed.rank() == last and "step-4" in file:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        save_file(tensors, file)

    checkpoint.save_file = full  # type: ignore[attr-defined,assignment]  # in a process that ends after it
    try:
        train(path=path, changes={"epochs": 2, "sharding": sharding})
    except WorkspaceError as error:
        return {"error": str(error)}
    return {}
