"""Gradients summed over the ranks, as far as possible while the backward pass still goes on.

Sums and no means: every part of a loss is divided by what the whole global batch comes to (Eq. 4). No wrapper around
the model does it, since passes call parts of the model, and those of a small student are replayed CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter

BUCKET = 64 * 2**20
"""Bytes that small gradients are gathered up to, so that few are sent on their own."""
ALONE = 8 * 2**20
"""Bytes from which a gradient is sent as it is: to copy it would cost more than to send it by itself."""


class _Sending(NamedTuple):
    work: dist.Work
    flat: Tensor | None
    gradients: list[Tensor]


class GradientExchange:
    """Sums the gradients of these parameters over all ranks, in place; one without a gradient counts as zero.

    `finish` after the passes does all of it. `overlap` before the last backward pass begins with it in there.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        # The last layer's gradients are there first. All ranks send in this order, whatever is ready first.
        self._buckets = _buckets(list(parameters)[::-1])
        self._bucket_of = {parameter: place for place, bucket in enumerate(self._buckets) for parameter in bucket}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._missing: list[int] | None = None  # of each bucket, while it overlaps
        self._sending: list[_Sending] = []

    @property
    def has_begun(self) -> bool:
        """Whether anything was sent that `finish` has not waited for; the gradients are nobody's own then."""
        return bool(self._sending)

    def overlap(self) -> None:
        """From here on a gradient is sent as soon as it is there: the next backward pass is the step's last."""
        if not self._hooks:
            self._hooks = [one.register_post_accumulate_grad_hook(self._on_gradient) for one in self._bucket_of]
        self._missing = [len(bucket) for bucket in self._buckets]

    def stop_overlapping(self) -> None:
        """Backward passes send nothing."""
        self._missing = None

    def finish(self, losses: Tensor) -> None:
        """Sends what is left, the losses too, which it sums in place, and waits for all (on a GPU: its queue does)."""
        self._missing = None
        for bucket in self._buckets[len(self._sending) :]:
            self._send(bucket)
        dist.all_reduce(losses)
        for work, flat, gradients in self._sending:
            work.wait()
            if flat is not None:
                parts = flat.split([gradient.numel() for gradient in gradients])
                torch._foreach_copy_(gradients, [part.view_as(of) for part, of in zip(parts, gradients, strict=True)])
        self._sending.clear()

    def close(self) -> None:
        """Takes its hooks off the parameters."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _on_gradient(self, parameter: Tensor) -> None:
        if self._missing is None:
            return
        assert isinstance(parameter, Parameter)  # noqa: S101 - for the type checker
        self._missing[self._bucket_of[parameter]] -= 1
        while len(self._sending) < len(self._buckets) and self._missing[len(self._sending)] == 0:
            self._send(self._buckets[len(self._sending)])

    def _send(self, bucket: Sequence[Parameter]) -> None:
        gradients = []
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        in_place = len(gradients) == 1 and gradients[0].is_contiguous()
        flat = None if in_place else torch.cat([gradient.flatten() for gradient in gradients])
        work = dist.all_reduce(gradients[0] if flat is None else flat, async_op=True)
        assert work is not None  # noqa: S101 - for the type checker: every rank takes part
        self._sending.append(_Sending(work, flat, gradients))


def _buckets(parameters: Sequence[Parameter]) -> list[list[Parameter]]:
    """Parameters that are sent together, in the order of sending."""
    buckets: list[list[Parameter]] = []
    small: list[Parameter] = []
    held = 0
    for parameter in parameters:
        size = parameter.numel() * parameter.element_size()
        if size >= ALONE:
            buckets.append([parameter])
            continue
        small.append(parameter)
        held += size
        if held >= BUCKET:
            buckets.append(small)
            small, held = [], 0
    return [*buckets, small] if small else buckets
