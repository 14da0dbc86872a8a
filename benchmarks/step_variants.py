"""One way of taking a training step, timed in the process that calls: what benchmarks/step.py runs apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from measuring.flops import step_flops, tree_work
from measuring.lessons import DEMONSTRATION_WEIGHT, make_batches
from measuring.models import load_model
from measuring.timing import StepTimes, Stopwatch, as_json, environment
from released_step import released_passes
from tutelage.config import StudySettings
from tutelage.student.loss.losses import joint_loss
from tutelage.student.loss.separate import JointSums, LessonSample, separate_passes
from tutelage.student.model.gradient_checkpointing import checkpoints_activations
from tutelage.student.model.student import Student, autocast
from tutelage.student.training.stepping import StudyStep

LEARNING_RATE = 1e-5
MARGIN, LAMBDA = 1.0, 0.5  # Eqs. 3 and 4
OURS = {"ours": None, "ours:lean": True}  # the recipe's gradient_checkpointing


@dataclass(frozen=True, slots=True)
class StepJob:
    """What to time. variant: "ours", "ours:lean", "released", "separate", or "sft:" with settings (see sft_variant.py).

    batch: samples an optimizer step, in `micro_batches` forward passes. demonstrations: tokens of them.
    """

    variant: str
    model: str
    device: str
    batch: int
    demonstrations: int
    steps: int
    warmup: int
    seed: int
    micro_batches: int = 1


Step = Callable[[Sequence[LessonSample]], object]
Passes = Callable[[Student, Sequence[LessonSample], float], JointSums]
Batches = Sequence[Sequence[LessonSample]]


def measure_step(job: StepJob) -> dict[str, Any]:
    """Times of `job.steps` steps, each on samples of new lengths, and the peak of memory."""
    student = load_model(job.model, job.device)
    student.model.train()
    batches = make_batches(student, job.warmup + job.steps, job.batch, job.demonstrations, job.seed)
    if job.variant.startswith("sft:"):
        from sft_variant import time_sft  # its libraries are no dependency of Tutelage

        return time_sft(student, batches, job)
    seconds, notes = _our_seconds(student, batches, job) if job.variant in OURS else _seconds(student, batches, job)
    work = [tree_work(samples, job.demonstrations) for samples in batches[job.warmup :]]
    tokens, total = sum(one.tokens for one in work), sum(seconds[job.warmup :])
    return {
        **as_json(StepTimes.of(seconds, job.warmup, student.device)),
        "tree_tokens_per_second": round(tokens / total, 1),
        "tree_tokens": round(tokens / len(work), 1),
        "tree_teraflops_per_second": round(sum(step_flops(student.model, one) for one in work) / total / 1e12, 4),
        **notes,
        "environment": environment(student.device),
    }


def _our_seconds(student: Student, batches: Batches, job: StepJob) -> tuple[list[float], dict[str, Any]]:
    """Of each step of Tutelage's own, as `study` takes them: the next batch is made ready while the device works.

    A step's time has in it whatever the device waits for that. Notes say which way the passes went, and
    whether memory ran out on the way, in which case a StudyStep goes on with less of it.
    """
    settings = StudySettings(
        batch_size=job.batch,
        micro_batch_size=-(-job.batch // job.micro_batches),
        gradient_checkpointing=OURS[job.variant],
        margin=MARGIN,
        demonstration_weight=DEMONSTRATION_WEIGHT,
        learning_rate=LEARNING_RATE,
    )
    stopwatch = Stopwatch(student.device)
    seconds = []
    with StudyStep(student, settings, LEARNING_RATE) as step:
        ready = step.prepare(batches[0])
        for following in [*batches[1:], batches[0]]:
            stopwatch.start()
            taken = step.take(ready, LEARNING_RATE)
            ready = step.prepare(following)
            taken.losses()
            seconds.append(stopwatch.stop())
        notes = {
            "micro_batches": len(ready.micro),
            "passes": type(ready.passes).__name__,
            "checkpointing": checkpoints_activations(student.model),
        }
    return seconds, notes


def _seconds(student: Student, batches: Batches, job: StepJob) -> tuple[list[float], dict[str, Any]]:
    passes: dict[str, Passes] = {"released": released_passes, "separate": separate_passes}
    step = plain_step(student, passes[job.variant], job.micro_batches)
    stopwatch = Stopwatch(student.device)
    seconds = []
    for samples in batches:
        stopwatch.start()
        step(samples)
        seconds.append(stopwatch.stop())
    return seconds, {"micro_batches": job.micro_batches}


def plain_step(student: Student, passes: Passes, micro_batches: int) -> Step:
    """Forward, backward, clipping and a fused AdamW around passes that give both losses."""
    parameters = list(student.model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01, fused=True)

    def step(samples: Sequence[LessonSample]) -> None:
        weight = sum(sum(sample.anchor.weights[1:]) for sample in samples)
        triplets = max(1, sum(sample.is_triplet for sample in samples))
        size = -(-len(samples) // micro_batches)
        for start in range(0, len(samples), size):
            with autocast(student.device):
                sums = passes(student, samples[start : start + size], MARGIN)
            joint_loss(sums.language_model.total / weight, sums.triplet.total / triplets, LAMBDA).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
