"""Study: the training loop, in sight (Table 10, Eqs. 2-4)."""

from __future__ import annotations

import array
import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from tutelage import distributed
from tutelage.config import StudySettings
from tutelage.seeds import derive_seed
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import Sample
from tutelage.student.training.batching import count_batches, plan_epoch
from tutelage.student.training.checkpoint import Rhythm, load_checkpoint, save_checkpoint
from tutelage.student.training.step import Batch, Losses
from tutelage.student.training.stepping import StudyStep


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step, as training.jsonl keeps it.

    Losses are in nats (lm) and of Eq. 3 (triplet), means over the batch; tokens: predicted, demonstrations'
    included; triplets: samples of the batch that had both a positive and a negative.
    """

    step: int
    epoch: int
    loss: float
    lm_loss: float
    triplet_loss: float
    gradient_norm: float
    learning_rate: float
    samples: int
    triplets: int
    tokens: int


def count_steps(lesson: Sequence[LessonSample], settings: StudySettings) -> int:
    """Optimizer steps that a study of this lesson takes."""
    if settings.steps is not None:
        return settings.steps
    return settings.epochs * count_batches([sample.question_id for sample in lesson], settings.batch_size)


def study(
    student: Student,
    lesson: Sequence[LessonSample],
    settings: StudySettings,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    on_step: Callable[[Step], None],
) -> None:
    """Trains the student on a lesson, in place, from the checkpoint of this very study if there is one.

    on_step: called after every optimizer step, those before the checkpoint left out.
    Several ranks call it together, with the same arguments; each has the same steps to tell. One that shards its
    student (see StudySettings) has parts of the weights afterwards: `gather_weights` puts them together. Until then
    the weights may lie on the CPU, whatever the student's device is.
    Raises: StudentError if the loss is no longer a number. On one CPU a resumed study ends bit for bit as
    an uninterrupted one: the order and any dropout depend on the seed and the step alone.
    """
    total = count_steps(lesson, settings)
    fingerprint = _fingerprint(lesson, settings, learning_rate, seed)
    with contextlib.ExitStack() as exits:
        take_step = exits.enter_context(StudyStep(student, settings, learning_rate))
        rates = learning_rates(settings, learning_rate, total)
        done = load_checkpoint(checkpoint, student, take_step.optimizer, fingerprint)
        planned = _batches(lesson, settings, total, seed)[done:]
        prepared = ((epoch, take_step.prepare([lesson[index] for index in indices])) for epoch, indices in planned)
        number, ready = done, next(prepared, None)
        rhythm = Rhythm(settings.checkpoint_steps)
        while ready is not None:
            number, (epoch, batch) = number + 1, ready
            torch.manual_seed(_dropout_seed(seed, number))
            taken = take_step.take(batch, rates(number))
            ready = next(prepared, None)  # on the host, while the device works
            on_step(_record(batch, taken.losses(), settings, number, epoch, rates(number)))
            if number < total and rhythm.is_due(number):
                with rhythm.saving():
                    save_checkpoint(checkpoint, student, take_step.optimizer, number, fingerprint)


def _dropout_seed(seed: int, step: int) -> int:
    rank = distributed.rank()  # what each drops is its own
    return derive_seed(seed, "dropout", step, *([rank] if rank else []))


def _record(
    batch: Batch, losses: Losses, settings: StudySettings, number: int, epoch: int, learning_rate: float
) -> Step:
    return Step(
        number,
        epoch,
        losses.language_model + settings.lambda_ * losses.triplet,
        losses.language_model,
        losses.triplet,
        losses.gradient_norm,
        learning_rate,
        len(batch.samples),
        batch.triplets,
        sum(len(sample.anchor.token_ids) - 1 for sample in batch.samples),
    )


def _batches(
    lesson: Sequence[LessonSample], settings: StudySettings, total: int, seed: int
) -> list[tuple[int, list[int]]]:
    """(epoch from 1, indices into the lesson) of every step of the study."""
    question_ids = [sample.question_id for sample in lesson]
    batches: list[tuple[int, list[int]]] = []
    epoch = 0
    while len(batches) < total:
        epoch += 1
        order = plan_epoch(question_ids, settings.batch_size, derive_seed(seed, "order", epoch))
        batches += [(epoch, indices) for indices in order]
    return batches[:total]


def learning_rates(settings: StudySettings, learning_rate: float, total: int) -> Callable[[int], float]:
    """The learning rate of a step, counted from 1: as transformers' Trainer follows its schedules.

    Written out here, since the library's module of schedules imports PEFT, and that bitsandbytes, where they are
    installed; and a function of the step, so that resuming has nothing to restore.
    """
    warmup = settings.warmup_steps

    def rate(step: int) -> float:
        done = step - 1
        if done < warmup:
            return learning_rate * done / warmup
        passed = (done - warmup) / max(1, total - warmup)
        if settings.schedule == "linear":
            return learning_rate * max(0.0, 1 - passed)
        if settings.schedule == "cosine":
            return learning_rate * max(0.0, (1 + math.cos(math.pi * passed)) / 2)
        return learning_rate

    return rate


def _fingerprint(lesson: Sequence[LessonSample], settings: StudySettings, learning_rate: float, seed: int) -> str:
    # How often to save and how much fits in memory change no result, so they may change on resuming.
    free = {"checkpoint_steps", "micro_batch_size", "gradient_checkpointing", "sharding"}
    decisive = settings.model_dump(mode="json", exclude=free)
    digest = hashlib.sha256(json.dumps([decisive, learning_rate, seed]).encode())
    digest_of = cache(_digest)  # a text is an anchor here, a positive there; kept no longer than this
    for sample in lesson:
        digest.update(sample.question_id.encode())
        for text in (sample.anchor, sample.positive, sample.negative):
            digest.update(b"-" if text is None else digest_of(text))
    return digest.hexdigest()


def _digest(text: Sample) -> bytes:
    whole = array.array("q", [*text.token_ids, text.last]).tobytes() + array.array("d", text.weights).tobytes()
    whole += array.array("q", text.source_ids).tobytes()
    return hashlib.sha256(whole).digest()
