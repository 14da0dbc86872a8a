"""One optimizer step on a global batch: gradients by the fastest way, clipping, AdamW (Table 10, Eq. 4)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch

from tutelage import distributed
from tutelage.config import StudySettings
from tutelage.errors import StudentError
from tutelage.progress import say
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.gradient_checkpointing import checkpoint_activations, checkpoints_activations
from tutelage.student.model.memory import is_out_of_memory, release
from tutelage.student.model.student import Student
from tutelage.student.ranks import zero_settings
from tutelage.student.ranks.exchange import GradientExchange
from tutelage.student.ranks.sharding import Root, forget_pass, is_wanted, shard, whole
from tutelage.student.ranks.zero import ZeroRoot
from tutelage.student.training.optimizer import allocate_state, fresh_state, make_optimizer
from tutelage.student.training.passes import Passes, difference, first_line, in_separate_passes, ways
from tutelage.student.training.shares import own_micro_batches
from tutelage.student.training.step import Batch, Taken
from tutelage.student.training.ways_left import WaysLeft

CPU_MICRO_BATCH = 4
"""Samples a pass on a CPU, where Linux kills what takes too much memory, and no error says that it ran out.

135M parameters, 16 samples behind 420 tokens of demonstrations, two cores: 16 at a time 42 s a step and 15 GiB, 8 at a
time 40 s and 11 GiB, 4 at a time 45 s and 8 GiB (`benchmarks/step.py --device cpu --micro-batches N`).
"""

_COMPARED_TOLERANCE = 0.03  # of losses in bfloat16; what is wrong differs by more


class StudyStep:
    """Takes optimizer steps on a student, in place; a context manager, since it sets the model up for its passes.

    When memory runs out it goes on with gradient checkpointing, then with smaller micro-batches, and says so; neither
    changes a result by more than rounding.

    Several ranks take each step together, every one with the same batch; each passes its own part of the samples, and
    the gradients and losses are summed. How a rank comes to its part is its own affair, but for a student in shards,
    whose layers no rank can put together alone: all of them go the same way, and if memory runs out the study ends.
    """

    def __init__(self, student: Student, settings: StudySettings, learning_rate: float) -> None:
        self._student, self._settings = student, settings
        quantized = bool(getattr(student.model, "is_quantized", False))
        sharded = is_wanted(settings, quantized)
        self._zero = ZeroRoot(student) if sharded and zero_settings.is_set_up() else None
        self._root = self._zero or (Root(student.model) if sharded else None)
        found, reason = ways(student, settings.margin, settings.lambda_, self._root)
        self._ways = WaysLeft(found)
        if self._root is not None and self._zero is None:
            shard(self._root, student.device)
        self.optimizer = make_optimizer(student, settings, learning_rate)
        self._trained = [parameter for parameter in student.model.parameters() if parameter.requires_grad]
        if self._zero is not None:
            self._ways.give_up_others()  # a pass that failed leaves the engine in disorder
            for piece in self._zero.begin(self.optimizer, settings):
                self.optimizer.state[piece] = fresh_state(piece, on_device=True)
        summing = distributed.world_size() > 1 and self._root is None
        self._exchange = GradientExchange(self._trained) if summing else None
        if reason:
            say(f"Note: this student studies in separate passes, which are slower: {reason}.")
        on_cpu = student.device.type == "cpu"
        self._micro_batch_size = settings.micro_batch_size or (CPU_MICRO_BATCH if on_cpu else settings.batch_size)
        self._proven = False  # by a whole step of this rank
        self._exits = contextlib.ExitStack()  # of the whole study

    def __enter__(self) -> StudyStep:
        with contextlib.ExitStack() as exits:  # what is done is undone too if something in here fails
            if self._student.device.type == "cuda":
                exits.enter_context(torch.cuda.device(self._student.device))
            exits.callback(self._leave)
            self._student.model.train()
            allocate_state(self.optimizer)
            if self._settings.gradient_checkpointing and not self._checkpoint():
                say("Note: this student's model knows no gradient checkpointing.")
            self._ways.enter()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._exits.close()

    def _leave(self) -> None:
        self._ways.leave()
        self._passes.forget()
        if self._exchange is not None:
            self._exchange.close()
        if self._zero is not None:
            self._zero.end()
        if checkpoints_activations(self._student.model):
            checkpoint_activations(self._student.model, False)
        self._student.model.eval()
        self.optimizer.zero_grad(set_to_none=True)

    @property
    def _passes(self) -> Passes:
        return self._ways.present

    @property
    def _size(self) -> int:
        """Samples in a micro-batch."""
        return min(self._micro_batch_size, self._passes.most_samples or self._micro_batch_size)

    def prepare(self, samples: Sequence[LessonSample]) -> Batch:
        """A batch made ready on the host; it may be done ahead."""
        if not self._settings.lambda_:
            samples = [LessonSample(sample.question_id, sample.anchor, None, None) for sample in samples]
        passes, size = self._passes, self._size
        own = own_micro_batches(samples, size, same_number=self._root is not None)
        return Batch(
            samples,
            own,
            sum(sum(sample.anchor.weights[1:]) for sample in samples),
            sum(sample.is_triplet for sample in samples),
            passes,
            size,
            [passes.prepare(part) for part in own],
        )

    def take(self, batch: Batch, learning_rate: float) -> Taken:
        """One step, queued: on a GPU the host is free to make the next batch ready meanwhile.

        Raises: StudentError if memory does not suffice at all.
        """
        parts_2 = self._gradients(batch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        # Without a look at the loss, for which the device would have to wait; who reads it finds out (Taken.losses).
        norm = self._update(parts_2)
        return Taken(torch.cat([parts_2, norm[None]]), self._settings.lambda_, learning_rate)

    def _update(self, parts_2: torch.Tensor) -> torch.Tensor:
        """Sums up, clips, and steps the optimizer; the norm before clipping."""
        if self._zero is not None:
            torch.distributed.all_reduce(parts_2)
            return self._zero.step()
        self._sum_up(parts_2)
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._settings.max_gradient_norm or float("inf"))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=not self._passes.keeps_gradients)
        return whole(norm)

    def _sum_up(self, parts_2: torch.Tensor) -> None:
        """Makes gradients and losses those of the whole batch. A parameter without a gradient counts as zero."""
        if self._exchange is not None:
            self._exchange.finish(parts_2)
            return
        for parameter in self._trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self._root is not None:
            torch.distributed.all_reduce(parts_2)

    def _gradients(self, batch: Batch) -> torch.Tensor:
        """Adds the gradients of this rank's part of a batch, in as many attempts as that takes; both losses, [2]."""
        while True:
            if batch.passes is not self._passes or batch.micro_batch_size != self._size:
                batch = self.prepare(batch.samples)
            ran_out, parts, reason = False, list[torch.Tensor](), None
            try:
                expected_2 = self._expected(batch)
                parts = self._backward(batch)
                reason = None if expected_2 is None else difference(expected_2, parts[0], _COMPARED_TOLERANCE)
            # Memory runs out in many ways, and a compiler has many reasons to refuse a model or a device.
            except Exception as error:
                ran_out, reason = is_out_of_memory(error), first_line(error)
                self._check_second_try(error, ran_out)
            reason = self._agreed(reason)
            if reason is None:
                self._proven = self._proven or bool(parts)
                return torch.stack(parts).sum(0) if parts else torch.zeros(2, device=self._student.device)
            # Out of the handler, whose error would keep the tensors of the failed pass alive.
            self._passes.forget()
            self.optimizer.zero_grad(set_to_none=True)
            release(self._student.device)
            if ran_out:
                self._make_room(sum(map(len, batch.own)))
            else:
                self._ways.take_next(reason)

    def _backward(self, batch: Batch) -> list[torch.Tensor]:
        """All passes of this rank; both losses of each, [2]."""
        parts = []
        for left, prepared in zip(range(len(batch.micro) - 1, -1, -1), batch.micro, strict=True):
            # What is sent cannot be taken back, so the first step, which may have to be tried again, sends at its end.
            if self._exchange is not None and left == 0 and self._proven and not self._passes.keeps_gradients:
                self._exchange.overlap()
            if self._zero is not None:
                self._zero.tell(last=left == 0)
            parts.append(self._passes.backward(prepared, batch.weight, batch.triplets))
        return parts

    def _check_second_try(self, error: Exception, ran_out: bool) -> None:
        """Raises: the error if there is no other way, StudentError if memory ran out where ranks depend on others."""
        begun = self._exchange is not None and self._exchange.has_begun
        if ran_out and (begun or self._root is not None):
            raise StudentError(
                f"Memory ran out on rank {distributed.rank()} in the middle of a step that all ranks take together. "
                "Resume with study.gradient_checkpointing=true or a smaller study.micro_batch_size."
            ) from error
        if not ran_out and (begun or self._ways.is_last or (self._root is not None and self._proven)):
            raise error
        if self._exchange is not None:
            self._exchange.stop_overlapping()

    def _agreed(self, reason: str | None) -> str | None:
        """Of a student in shards: the first rank's reason to go another way, since all must go the same."""
        if self._root is None or self._proven or self._ways.is_last:
            return reason
        reasons = distributed.gather_soon(reason)
        agreed = next((one for one in reasons if one is not None), None)
        if agreed is not None:
            forget_pass(self._root)
        return agreed

    def _expected(self, batch: Batch) -> torch.Tensor | None:
        """What the first micro-batch of a study should come to, by separate passes; None where nothing is to compare.

        The probe that chose the ways was tiny, and nothing was compiled for it. Dropout would make any two differ.
        """
        if self._proven or self._ways.is_last or not batch.own:
            return None
        modules = self._student.model.modules()
        if any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in modules):
            return None
        reference = in_separate_passes(self._student, self._settings.margin, self._settings.lambda_, self._root)
        with self._ways.left():
            return reference.losses(batch.own[0], batch.weight, batch.triplets)

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
