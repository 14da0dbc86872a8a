"""Ways to the gradients of the joint loss, and the choice among them by what the model and the device can do.

Packed passes with FlexAttention and captured CUDA graphs on a GPU, packed passes with scaled dot product attention
elsewhere, packed passes of a few samples for a model that keeps an attention of its own and adds the mask to its
scores, one encoder pass for all answers to a question where there is an encoder, separate passes for a model that
takes no tree mask, or no such sharing. What comes out is the same but for rounding (and but for
dropout, which a student that has any draws once for what the texts of a pack share).
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from tutelage.student.loss.losses import joint_loss
from tutelage.student.loss.separate import JointSums, LessonSample, joined_pass, separate_passes
from tutelage.student.model.attention import exchanged_attention
from tutelage.student.model.quantization import exact_arithmetic
from tutelage.student.model.student import Student, autocast
from tutelage.student.packed.attention import TREE
from tutelage.student.packed.replay import Replay
from tutelage.student.packed.shared_encoder import Shared, share, shared_passes, shared_sums
from tutelage.student.packed.sums import chunk_for, pack, packed_passes, packed_sums
from tutelage.student.packed.tree import Tree, plant
from tutelage.student.ranks.sharding import Root, where_it_lies
from tutelage.student.text.encoding import Sample

_TOLERANCE = 1e-3
"""Relative difference of losses that rounding may come to; a wrong mask or position gives a hundred times that."""

OWN_ATTENTION_SAMPLES = 4
"""Samples in a pack whose scores are all in memory, masked ones too: they grow with the square of the pack.

Behind 420 tokens of demonstrations 16 samples have 2.4 times the scores of separate passes, 4 have 0.9 times.
"""


class Passes(Protocol):
    """A way to the gradients of λ and ρ that it was made with.

    most_samples: how many a micro-batch may have; None for any number.
    """

    most_samples: int | None

    @property
    def keeps_gradients(self) -> bool:
        """Whether the parameters' gradients must stay the same tensors: zero them in place."""

    def running(self) -> contextlib.AbstractContextManager[object]:
        """Around all passes of a study: the model is set up for them, and as before afterwards."""

    def prepare(self, samples: Sequence[LessonSample]) -> Any:
        """What `backward` takes for a micro-batch: whatever can be done ahead, on the host."""

    def backward(self, prepared: Any, weight: float, triplets: int) -> Tensor:
        """Adds a micro-batch's part of the gradients; its parts of L_lm and L_cl, float32 [2], on the device.

        weight, triplets: what the two sums are divided by, counted over the whole global batch (Eq. 4).
        """

    def forget(self) -> None:
        """Gives back the memory that is kept for the next pass."""


class EagerPasses:
    """Nothing compiled or captured. prepare, sums: a micro-batch made ready, and both losses of it, undivided.

    root: of a student in shards, whose model is called in there.
    """

    keeps_gradients = False

    def __init__(
        self,
        student: Student,
        lambda_: float,
        prepare: Callable[[Sequence[LessonSample]], Any],
        sums: Callable[[Any], JointSums],
        attention_name: str | None = None,
        root: Root | None = None,
        most_samples: int | None = None,
    ) -> None:
        self.most_samples = most_samples
        self._student, self._lambda, self._root = student, lambda_, root
        self.prepare, self._sums = prepare, sums
        self._attention_name = attention_name

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """With the attention function that the passes need."""
        name = self._attention_name
        with contextlib.nullcontext() if name is None else exchanged_attention(self._student.model, name):
            yield

    def backward(self, prepared: Any, weight: float, triplets: int) -> Tensor:
        """One pass forward and backward, or as many as separate ones take."""
        parts_2 = self._parts(prepared, weight, triplets)
        joint_loss(parts_2[0], parts_2[1], self._lambda).backward()
        return parts_2.detach()

    @torch.no_grad()
    def losses(self, samples: Sequence[LessonSample], weight: float, triplets: int) -> Tensor:
        """What `backward` would give for these samples, without gradients."""
        with self.running():
            return self._parts(self.prepare(samples), weight, triplets)

    def _parts(self, prepared: Any, weight: float, triplets: int) -> Tensor:
        with autocast(self._student.device):
            sums = self._sums(prepared) if self._root is None else self._root(lambda: self._sums(prepared))
        return torch.stack([sums.language_model.total / weight, sums.triplet.total / max(triplets, 1)])

    def forget(self) -> None:
        """Nothing is kept."""


def in_separate_passes(student: Student, margin: float, lambda_: float, root: Root | None = None) -> EagerPasses:
    """The reference, for any student. In shards as one pass, so that all ranks make as many calls."""
    passes = separate_passes if root is None else joined_pass
    return EagerPasses(student, lambda_, list, lambda samples: passes(student, samples, margin), root=root)


def in_packed_passes(student: Student, margin: float, lambda_: float, root: Root | None = None) -> EagerPasses:
    """Packed, on any device."""

    def sums(tree: Tree) -> JointSums:
        return packed_sums(student, pack(student, tree), margin, chunk_for(student))

    return EagerPasses(student, lambda_, plant, sums, TREE, root)


def in_shared_passes(student: Student, margin: float, lambda_: float, root: Root | None = None) -> EagerPasses:
    """With each question encoded once, for an encoder-decoder student."""

    def prepare(samples: Sequence[LessonSample]) -> Shared:
        return share(student, samples)

    return EagerPasses(student, lambda_, prepare, lambda shared: shared_sums(student, shared, margin), root=root)


def in_own_attention(student: Student, margin: float, lambda_: float, root: Root | None = None) -> EagerPasses:
    """Packed, a few samples at a time, for a model that adds the mask to the scores of an attention of its own."""

    def sums(tree: Tree) -> JointSums:
        return packed_sums(student, pack(student, tree, own_attention=True), margin, chunk_for(student))

    return EagerPasses(student, lambda_, plant, sums, root=root, most_samples=OWN_ATTENTION_SAMPLES)


def ways(student: Student, margin: float, lambda_: float, root: Root | None = None) -> tuple[list[Passes], str | None]:
    """The ways that this student can go on its device, the fastest first; and why it takes no packed one, if so.

    root: around the model if it is to lie in shards, which it must not do yet.
    """
    separate = in_separate_passes(student, margin, lambda_, root)
    tried = where_it_lies(student)
    if student.is_encoder_decoder:
        reason = why_not_shared(tried)
        return [separate if reason else in_shared_passes(student, margin, lambda_, root)], reason
    if reason := why_not_packed(tried):
        if why_not_packed(tried, own_attention=True) is None:
            return [in_own_attention(student, margin, lambda_, root), separate], None
        return [separate], reason
    packed = in_packed_passes(student, margin, lambda_, root)
    compiles = root is None or root.compiles
    if compiles and student.device.type == "cuda" and torch.cuda.get_device_capability(student.device) >= (8, 0):
        return [Replay(student, margin, lambda_, root), packed], None
    return [packed], None


def why_not_packed(student: Student, own_attention: bool = False) -> str | None:
    """What keeps a student from packed passes, None if nothing does. own_attention: from those in its own attention."""

    def packed(lesson: Sequence[LessonSample]) -> JointSums:
        with contextlib.nullcontext() if own_attention else exchanged_attention(student.model, TREE):
            return packed_passes(student, lesson, margin=1.0, own_attention=own_attention)

    return _why_not(student, packed)


def why_not_shared(student: Student) -> str | None:
    """What keeps an encoder-decoder student from encoding each question once, None if nothing does."""
    return _why_not(student, lambda lesson: shared_passes(student, lesson, margin=1.0))


@torch.no_grad()
def _why_not(student: Student, passes: Callable[[Sequence[LessonSample]], JointSums]) -> str | None:
    """Found out by trying: a tiny lesson has to give the same losses in these and in separate passes."""
    lesson = _probe_lesson(student)
    was_training = student.model.training
    student.model.eval()
    try:
        with exact_arithmetic(student.model):
            expected = separate_passes(student, lesson, margin=1.0)
            found = passes(lesson)
    # A model of any kind may refuse a mask or a hook in any way; whatever it raises, separate passes remain.
    except Exception as error:
        return first_line(error)
    finally:
        student.model.train(was_training)
    expected_2, found_2 = (torch.stack([part.total / part.divisor for part in sums]) for sums in (expected, found))
    return difference(expected_2, found_2, _TOLERANCE)


def difference(expected_2: Tensor, found_2: Tensor, tolerance: float) -> str | None:
    """What is wrong with a way's losses, given those of separate passes; None if they agree.

    tolerance: as a part of the larger of the two, since a triplet loss may be next to nothing.
    """
    error = float((expected_2 - found_2).abs().max() / expected_2.abs().max())
    if error <= tolerance:  # not a number is no agreement
        return None
    return f"its losses are {error:.2g} times themselves away from those of separate passes"


def _probe_lesson(student: Student) -> list[LessonSample]:
    """Two triplets of a few dozen random tokens with a common beginning."""
    draw = random.Random(0)  # noqa: S311 - no secret
    embeddings: Any = student.model.get_input_embeddings()
    vocabulary = min(embeddings.weight.shape[0], 1000)

    def some(count: int) -> list[int]:
        return [draw.randrange(vocabulary) for _ in range(count)]

    def text(before: list[int], count: int) -> Sample:
        if student.is_encoder_decoder:
            source, before = tuple(before), list(student.decoder_start)
        else:
            source = ()
        token_ids = (*before, *some(count))
        return Sample(token_ids, (1.0,) * len(token_ids), len(token_ids) - 2, source)

    beginning = some(12)
    questions = [beginning + some(count) for count in (7, 5)]
    return [
        LessonSample(str(number), text(question, 9), text(question, 4), text(question, 6))
        for number, question in enumerate(questions)
    ]


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
