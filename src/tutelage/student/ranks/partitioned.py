"""Weights and optimizer state under DeepSpeed's ZeRO-3, where every rank holds a piece of each flattened tensor.

DeepSpeed keeps a parameter's piece as an attribute of the parameter, which is empty itself between its uses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tutelage import distributed


def is_partitioned(parameter: Tensor) -> bool:
    """Whether the ranks hold pieces of it, by DeepSpeed."""
    return hasattr(parameter, "ds_id")


@dataclass(frozen=True, eq=False, slots=True)
class Partitioned:
    """A trained weight, or with a name (`exp_avg`) a state that the optimizer keeps of it; float32."""

    parameter: nn.Parameter
    state: str | None = None

    @property
    def shape(self) -> torch.Size:
        """That of the whole."""
        shape: torch.Size = self.parameter.ds_shape  # type: ignore[attr-defined]
        return shape

    def numel(self) -> int:
        """That of the whole."""
        return math.prod(self.shape)

    def element_size(self) -> int:
        """Bytes of a number."""
        return torch.float32.itemsize

    def whole(self) -> Tensor:
        """Put together from all ranks' pieces, on every rank; all of them call it."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        if self.state is None:
            found: Tensor = safe_get_full_fp32_param(self.parameter)
        else:
            found = safe_get_full_optimizer_state(self.parameter, self.state)
        return found

    def restore(self, place: Any) -> None:
        """Takes up this rank's piece of what a file holds, and reads no more rows of it than that is in."""
        from deepspeed.utils import safe_set_local_fp32_param, safe_set_local_optimizer_state

        piece: Tensor = self.parameter.ds_tensor  # type: ignore[attr-defined]
        value = torch.zeros(piece.numel())  # the last ranks' pieces are filled up
        start = min(distributed.rank() * piece.numel(), self.numel())
        stop = min(start + piece.numel(), self.numel())
        if stop > start:
            value[: stop - start] = _flat(place, self.shape, start, stop)
        if self.state is not None:
            safe_set_local_optimizer_state(self.parameter, value, self.state)
            return
        safe_set_local_fp32_param(self.parameter, value)
        piece.copy_(value)  # the one that passes use, which DeepSpeed brings up to date after a step only


def _flat(place: Any, shape: torch.Size, start: int, stop: int) -> Tensor:
    """The numbers from start to stop of a tensor in a file, as if it were flattened."""
    row = math.prod(shape[1:])
    first, last = start // row, -(-stop // row)
    rows: Tensor = place[first:last] if shape else place[...]
    return rows.flatten()[start - first * row : stop - first * row]


def whole_weight(parameter: nn.Parameter) -> Tensor:
    """A weight put together from all ranks' pieces, trained or not; all of them call it."""
    if parameter.requires_grad:
        return Partitioned(parameter).whole()
    from deepspeed.runtime.zero import GatheredParameters

    with GatheredParameters([parameter]):
        return parameter.detach().clone()
