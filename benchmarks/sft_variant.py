"""TRL's SFTTrainer on the anchors of the same lessons, language-model loss only: what a step is measured against.

Its settings are words joined by "+": how a batch is laid out (padded, free: one row without padding, packed: rows of
4,096 tokens), the attention (sdpa, flex; FlashAttention is no dependency of ours), and liger (Liger's kernels), compile
(torch.compile), even (lengths padded to a multiple of 64, so that fewer shapes are compiled), checkpoint (gradient
checkpointing). Such as "sft:padded+sdpa+liger". Bfloat16 autocast over float32 weights on a GPU, as ours; its loss is
TRL's own, which makes the logits in chunks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from measuring.timing import StepTimes, Stopwatch, as_json, environment
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student

if TYPE_CHECKING:
    from step_variants import StepJob

PACKED_ROW = 4096  # tokens
LAYOUTS = ("padded", "free", "packed")
ATTENTION = {"sdpa": "sdpa", "flex": "flex_attention"}
EXTRAS = ("liger", "compile", "even", "checkpoint")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the words of a variant stand for."""

    layout: str
    attention: str
    extras: frozenset[str]


def read_settings(variant: str) -> Settings:
    """The settings in "sft:free+flex+liger". Raises: ValueError on a word that is none."""
    layout, attention, *extras = variant.removeprefix("sft:").split("+")
    if layout not in LAYOUTS or attention not in ATTENTION or not set(extras) <= set(EXTRAS):
        raise ValueError(
            f"{variant!r} is no variant of SFT: take one of {LAYOUTS}, one of {tuple(ATTENTION)} and any of {EXTRAS}"
        )
    return Settings(layout, ATTENTION[attention], frozenset(extras))


class _Times(TrainerCallback):
    """Seconds of each step from its first forward pass to the optimizer's end; fetching the batch is not counted."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self.seconds: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self._stopwatch.start()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.seconds.append(self._stopwatch.stop())


def time_sft(student: Student, batches: Sequence[Sequence[LessonSample]], job: StepJob) -> dict[str, Any]:
    """Times as `measure_step` gives them; scaled to a batch of `job.batch` samples where rows are packed."""
    settings = read_settings(job.variant)
    student.model.set_attn_implementation(settings.attention)
    times = _Times(Stopwatch(student.device))
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(student, batches, job, settings, times, folder)
        scale = _samples_a_row(trainer) if settings.layout == "packed" else 1.0
        rows = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
        trainer.train()
    factor = 1.0 if settings.layout != "packed" else job.batch / (scale * rows)
    # The packed rows of so few samples may run out before the last step, and begin anew.
    result = StepTimes.of([seconds * factor for seconds in times.seconds], job.warmup, student.device)
    anchor_tokens = sum(len(sample.anchor.token_ids) for samples in batches[job.warmup :] for sample in samples)
    return {
        **as_json(result),
        "sample_tokens_per_second": round(anchor_tokens / sum(times.seconds[job.warmup :]) / factor, 1),
        "micro_batches": job.micro_batches,
        "environment": environment(student.device),
    }


def _trainer(
    student: Student,
    batches: Sequence[Sequence[LessonSample]],
    job: StepJob,
    settings: Settings,
    times: _Times,
    folder: str,
) -> SFTTrainer:
    texts = [list(sample.anchor.token_ids) for samples in batches for sample in samples]
    rows = job.batch
    if settings.layout == "packed":
        rows = max(1, round(job.batch * sum(map(len, texts)) / len(texts) / PACKED_ROW))
    # Without labels it takes all tokens as targets, as we do.
    return SFTTrainer(
        model=student.model,
        args=_config(job, settings, rows, folder),
        train_dataset=Dataset.from_dict({"input_ids": texts}),
        processing_class=student.tokenizer,
        callbacks=[times],
    )


def _config(job: StepJob, settings: Settings, rows: int, folder: str) -> SFTConfig:
    """rows: of the data set a step."""
    packed, on_cpu = settings.layout == "packed", job.device == "cpu"
    return SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=max(1, rows // job.micro_batches),
        gradient_accumulation_steps=job.micro_batches,
        max_steps=job.warmup + job.steps,
        learning_rate=1e-5,
        optim="adamw_torch_fused",
        bf16=not on_cpu,
        use_cpu=on_cpu,
        gradient_checkpointing="checkpoint" in settings.extras,
        use_liger_kernel="liger" in settings.extras,
        torch_compile="compile" in settings.extras,
        packing=packed,
        padding_free=settings.layout == "free",
        max_length=PACKED_ROW if packed else None,
        pad_to_multiple_of=64 if "even" in settings.extras else None,
        dataloader_num_workers=0 if on_cpu else 2,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=job.seed,
    )


def _samples_a_row(trainer: SFTTrainer) -> float:
    lengths: Any = trainer.train_dataset["seq_lengths"]
    return sum(map(len, lengths)) / len(lengths)
