"""One optimizer step on a global batch: gradients by the fastest way, clipping, AdamW (Table 10, Eq. 4)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from tutelage.config import StudySettings
from tutelage.errors import StudentError
from tutelage.progress import say
from tutelage.student.gradient_checkpointing import checkpoint_activations, checkpoints_activations
from tutelage.student.memory import is_out_of_memory, release
from tutelage.student.model import Student
from tutelage.student.passes import Passes, difference, first_line, in_separate_passes, ways
from tutelage.student.separate import LessonSample

CPU_MICRO_BATCH = 4
"""Samples a pass on a CPU, where Linux kills what takes too much memory, and no error says that it ran out.

135M parameters, 16 samples behind 420 tokens of demonstrations, two cores: 16 at a time 42 s a step and 15 GiB, 8 at a
time 40 s and 11 GiB, 4 at a time 45 s and 8 GiB (`benchmarks/step.py --device cpu --micro-batches N`).
"""


_COMPARED_TOLERANCE = 0.03  # of losses in bfloat16; what is wrong differs by more


class Losses(NamedTuple):
    """Means over a global batch, and the norm of the gradients before clipping."""

    language_model: float
    triplet: float
    gradient_norm: float


@dataclass(frozen=True, slots=True)
class Taken:
    """A step whose work is queued on the device. means_3: as Losses, on the device. lambda_: of Eq. 4."""

    means_3: torch.Tensor
    lambda_: float
    learning_rate: float

    def losses(self) -> Losses:
        """Waits for the device. Raises: StudentError if the loss is no longer a number; the weights are no use then."""
        losses = Losses(*self.means_3.tolist())
        if not all(map(math.isfinite, losses)):
            raise StudentError(
                f"The loss became {losses.language_model + self.lambda_ * losses.triplet} (gradient norm "
                f"{losses.gradient_norm}) with learning rate {self.learning_rate:.2g}. Lower study.learning_rate in "
                "the recipe and start the run anew."
            )
        return losses


@dataclass(frozen=True, slots=True)
class Batch:
    """A global batch made ready. weight, triplets: what its two losses are divided by. micro: what the passes take."""

    samples: Sequence[LessonSample]
    weight: float
    triplets: int
    passes: Passes
    micro_batch_size: int
    micro: Sequence[Any]


class StudyStep:
    """Takes optimizer steps on a student, in place; a context manager, since it sets the model up for its passes.

    When memory runs out it goes on with gradient checkpointing, then with smaller micro-batches, and says so; neither
    changes a result by more than rounding.
    """

    def __init__(self, student: Student, settings: StudySettings, learning_rate: float) -> None:
        self._student, self._settings = student, settings
        self.optimizer = make_optimizer(student, settings, learning_rate)
        self._ways, reason = ways(student, settings.margin, settings.lambda_)
        if reason:
            say(f"Note: this student studies in separate passes, which are slower: {reason}.")
        on_cpu = student.device.type == "cpu"
        self._micro_batch_size = settings.micro_batch_size or (CPU_MICRO_BATCH if on_cpu else settings.batch_size)
        self._compared = False
        self._exits = contextlib.ExitStack()  # of the whole study
        self._way_exits = contextlib.ExitStack()  # of the present way

    def __enter__(self) -> StudyStep:
        with contextlib.ExitStack() as exits:  # what is done is undone too if something in here fails
            if self._student.device.type == "cuda":
                exits.enter_context(torch.cuda.device(self._student.device))
            exits.callback(self._leave)
            self._student.model.train()
            allocate_state(self.optimizer)
            if self._settings.gradient_checkpointing and not self._checkpoint():
                say("Note: this student's model knows no gradient checkpointing.")
            self._enter_way()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._exits.close()

    def _leave(self) -> None:
        self._way_exits.close()
        self._passes.forget()
        if checkpoints_activations(self._student.model):
            checkpoint_activations(self._student.model, False)
        self._student.model.eval()
        self.optimizer.zero_grad(set_to_none=True)

    @property
    def _passes(self) -> Passes:
        return self._ways[0]

    @property
    def _size(self) -> int:
        """Samples in a micro-batch."""
        return min(self._micro_batch_size, self._passes.most_samples or self._micro_batch_size)

    def prepare(self, samples: Sequence[LessonSample]) -> Batch:
        """A batch made ready on the host; it may be done ahead."""
        if not self._settings.lambda_:
            samples = [LessonSample(sample.question_id, sample.anchor, None, None) for sample in samples]
        ordered = by_length(samples)
        passes, size = self._passes, self._size
        return Batch(
            samples,
            sum(sum(sample.anchor.weights[1:]) for sample in samples),
            sum(sample.is_triplet for sample in samples),
            passes,
            size,
            [passes.prepare(ordered[start : start + size]) for start in range(0, len(ordered), size)],
        )

    def take(self, batch: Batch, learning_rate: float) -> Taken:
        """One step, queued: on a GPU the host is free to make the next batch ready meanwhile.

        Raises: StudentError if memory does not suffice at all.
        """
        parts_2 = self._gradients(batch)
        parameters = self._student.model.parameters()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._settings.max_gradient_norm or float("inf"))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # Without a look at the loss, for which the device would have to wait; who reads it finds out (Taken.losses).
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=not self._passes.keeps_gradients)
        return Taken(torch.cat([parts_2, norm[None]]), self._settings.lambda_, learning_rate)

    def _gradients(self, batch: Batch) -> torch.Tensor:
        """Adds the gradients of a whole batch, in as many attempts as that takes; both losses, [2]."""
        while True:
            if batch.passes is not self._passes or batch.micro_batch_size != self._size:
                batch = self.prepare(batch.samples)
            try:
                expected_2 = self._expected(batch)
                parts = [self._passes.backward(one, batch.weight, batch.triplets) for one in batch.micro]
                reason = None if expected_2 is None else difference(expected_2, parts[0], _COMPARED_TOLERANCE)
                if reason is None:
                    self._compared = True
                    return torch.stack(parts).sum(0)
                ran_out = False
            # Memory runs out in many ways, and a compiler has many reasons to refuse a model or a device.
            except Exception as error:
                ran_out, reason = is_out_of_memory(error), first_line(error)
                if not ran_out and len(self._ways) == 1:
                    raise
            # Out of the handler, whose error would keep the tensors of the failed pass alive.
            self._passes.forget()
            self.optimizer.zero_grad(set_to_none=True)
            release(self._student.device)
            if ran_out:
                self._make_room(len(batch.samples))
            else:
                self._take_next_way(reason)

    def _expected(self, batch: Batch) -> torch.Tensor | None:
        """What the first micro-batch of a study should come to, by separate passes; None where nothing is to compare.

        The probe that chose the ways was tiny, and nothing was compiled for it. Dropout would make any two differ.
        """
        if self._compared or len(self._ways) == 1:
            return None
        modules = self._student.model.modules()
        if any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in modules):
            return None
        reference = in_separate_passes(self._student, self._settings.margin, self._settings.lambda_)
        first = by_length(batch.samples)[: batch.micro_batch_size]
        self._way_exits.close()  # the model as it is by itself
        try:
            return reference.losses(first, batch.weight, batch.triplets)
        finally:
            self._enter_way()

    def _make_room(self, samples: int) -> None:
        size = min(self._size, samples)
        if self._settings.gradient_checkpointing is None and self._checkpoint():
            say("Memory ran out: the student studies with gradient checkpointing from here on.")
        elif size > 1:
            self._micro_batch_size = (size + 1) // 2
            say(f"Memory ran out: the student studies with micro-batches of {self._micro_batch_size} from here on.")
        else:
            raise StudentError(
                "The memory does not suffice for studying a single sample. Use fewer demonstrations (prompt.count), "
                "a smaller student or a device with more memory."
            )

    def _checkpoint(self) -> bool:
        """Switches gradient checkpointing on; False if it is on already, or the model has none."""
        model = self._student.model
        if not model.supports_gradient_checkpointing or checkpoints_activations(model):
            return False
        checkpoint_activations(model, True)
        return True

    def _take_next_way(self, reason: str) -> None:
        say(f"Note: studying in another way, which is slower: {reason}")
        self._way_exits.close()
        del self._ways[0]
        self._enter_way()

    def _enter_way(self) -> None:
        try:
            self._way_exits.enter_context(self._passes.running())
        # As in _gradients.
        except Exception as error:
            if len(self._ways) == 1:
                raise
            reason = first_line(error)
        else:
            return
        self._take_next_way(reason)


def by_length(samples: Sequence[LessonSample]) -> list[LessonSample]:
    """Samples of similar length together: separate passes pad them."""
    return sorted(samples, key=lambda sample: len(sample.anchor.source_ids) + len(sample.anchor.token_ids))


def make_optimizer(student: Student, settings: StudySettings, learning_rate: float) -> torch.optim.AdamW:
    """AdamW of Table 10; biases and norms, the parameters of one dimension, do not decay, as is usual."""
    parameters = [parameter for parameter in student.model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=learning_rate, betas=settings.betas, eps=settings.epsilon, fused=student.device.type != "mps"
    )


def allocate_state(optimizer: torch.optim.AdamW) -> None:
    """Makes the optimizer's state as its first step would: so that memory shows before that whether it suffices."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not optimizer.state[parameter]:
                device = parameter.device if group["fused"] else torch.device("cpu")
                optimizer.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device=device),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }
