"""Study: the training loop, in sight (Table 10, Eqs. 2-4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import get_scheduler

from tutelage.config import StudySettings
from tutelage.errors import StudentError
from tutelage.seeds import derive_seed
from tutelage.student.batching import count_batches, plan_epoch
from tutelage.student.checkpoint import load_checkpoint, save_checkpoint
from tutelage.student.losses import joint_loss
from tutelage.student.model import Student, autocast
from tutelage.student.separate import LessonSample, separate_passes


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
    Raises: StudentError if the loss is no longer a number. On one CPU a resumed study ends bit for bit as
    an uninterrupted one: the order and any dropout depend on the seed and the step alone.
    """
    optimizer = _optimizer(student, settings, learning_rate)
    total = count_steps(lesson, settings)
    rates = _learning_rates(optimizer, settings, learning_rate, total)
    fingerprint = _fingerprint(lesson, settings, learning_rate, seed)
    done = load_checkpoint(checkpoint, student, optimizer, fingerprint)
    student.model.train()
    for number, (epoch, indices) in enumerate(_batches(lesson, settings, total, seed), start=1):
        if number <= done:
            continue
        torch.manual_seed(derive_seed(seed, "dropout", number))
        samples = [lesson[index] for index in indices]
        on_step(_step(student, optimizer, samples, settings, number, epoch, rates(number)))
        if number % settings.checkpoint_steps == 0 and number < total:
            save_checkpoint(checkpoint, student, optimizer, number, fingerprint)
    student.model.eval()


def _step(
    student: Student,
    optimizer: torch.optim.Optimizer,
    samples: Sequence[LessonSample],
    settings: StudySettings,
    number: int,
    epoch: int,
    learning_rate: float,
) -> Step:
    """One optimizer step on a global batch, in micro-batches of similar length."""
    # The counts of the whole batch are known before its first pass, so each micro-batch divides by them.
    weight = sum(sum(sample.anchor.weights[1:]) for sample in samples)
    triplets = sum(sample.is_triplet for sample in samples) if settings.lambda_ else 0
    lm_loss = triplet_loss = 0.0
    ordered = sorted(samples, key=lambda sample: len(sample.anchor.token_ids))
    for start in range(0, len(ordered), settings.micro_batch_size):
        micro = ordered[start : start + settings.micro_batch_size]
        if not settings.lambda_:
            micro = [LessonSample(sample.question_id, sample.anchor, None, None) for sample in micro]
        with autocast(student.device):
            sums = separate_passes(student, micro, settings.margin)
        lm, triplet = sums.language_model.total / weight, sums.triplet.total / max(triplets, 1)
        joint_loss(lm, triplet, settings.lambda_).backward()
        lm_loss, triplet_loss = lm_loss + float(lm.detach()), triplet_loss + float(triplet.detach())
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    loss = lm_loss + settings.lambda_ * triplet_loss
    norm = torch.nn.utils.clip_grad_norm_(student.model.parameters(), settings.max_gradient_norm or float("inf"))
    if not torch.isfinite(norm) or loss != loss:
        raise StudentError(
            f"The loss became {loss} (gradient norm {float(norm)}) at step {number} with learning rate "
            f"{learning_rate:.2g}. Lower study.learning_rate in the recipe and start the run anew."
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    tokens = sum(len(sample.anchor.token_ids) - 1 for sample in samples)
    return Step(number, epoch, loss, lm_loss, triplet_loss, float(norm), learning_rate, len(samples), triplets, tokens)


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


def _optimizer(student: Student, settings: StudySettings, learning_rate: float) -> torch.optim.AdamW:
    """AdamW of Table 10; biases and norms, the parameters of one dimension, do not decay, as is usual."""
    parameters = [parameter for parameter in student.model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=learning_rate, betas=settings.betas, eps=settings.epsilon, fused=student.device.type != "mps"
    )


def _learning_rates(
    optimizer: torch.optim.Optimizer, settings: StudySettings, learning_rate: float, total: int
) -> Callable[[int], float]:
    """The learning rate of a step, counted from 1: transformers' schedules, as their Trainer follows them."""
    name = "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
    schedule = get_scheduler(name, optimizer, num_warmup_steps=settings.warmup_steps, num_training_steps=total)
    # As a function of the step and not as a counter, so that resuming has nothing to restore.
    factor = schedule.lr_lambdas[0]
    return lambda step: learning_rate * float(factor(step - 1))


def _fingerprint(lesson: Sequence[LessonSample], settings: StudySettings, learning_rate: float, seed: int) -> str:
    # How often to save and how much fits in memory change no result, so they may change on resuming.
    decisive = settings.model_dump(mode="json", exclude={"checkpoint_steps", "micro_batch_size"})
    digest = hashlib.sha256(json.dumps([decisive, learning_rate, seed]).encode())
    for sample in lesson:
        digest.update(repr(sample).encode())
    return digest.hexdigest()
