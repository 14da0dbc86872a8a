"""What a step of study takes and what it gives: a global batch made ready, and its losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from tutelage.errors import StudentError
from tutelage.student.loss.separate import LessonSample
from tutelage.student.training.passes import Passes


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
    """A global batch made ready. weight, triplets: what its two losses are divided by.

    own: this rank's samples, in micro-batches of that size. micro: these as the passes take them.
    """

    samples: Sequence[LessonSample]
    own: Sequence[Sequence[LessonSample]]
    weight: float
    triplets: int
    passes: Passes
    micro_batch_size: int
    micro: Sequence[Any]
