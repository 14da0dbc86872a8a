"""A student in shards by DeepSpeed's ZeRO-3, for those whose accelerate is set up for it (see sharding.py).

The passes, the order of the data, the losses and the optimizer are those of every other study. DeepSpeed puts the
layers' weights together when they are used, sums up gradients, clips them, and steps the optimizer on its pieces.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from tutelage import distributed
from tutelage.config import StudySettings
from tutelage.progress import say
from tutelage.student.model.student import Student, autocast
from tutelage.student.ranks.sharding import Root
from tutelage.student.ranks.zero_settings import engine_settings, unused_keys

Result = TypeVar("Result")


class ZeroRoot(Root):
    """A root whose work is done in DeepSpeed's engine, once there is one."""

    compiles = False  # there are hooks around everything inside a layer

    def __init__(self, student: Student) -> None:
        super().__init__(student.model)
        self._device = student.device
        self._linear = functional.linear
        self._engine: list[Any] = []  # in a list, which hides it from the modules of this one

    def begin(self, optimizer: torch.optim.AdamW, settings: StudySettings) -> list[Tensor]:
        """Leaves of each weight this rank's piece; gives the pieces, which the optimizer steps on from here on."""
        os.environ.setdefault("DS_ACCELERATOR", self._device.type)  # it would take a GPU that the study may not
        import deepspeed

        deepspeed.utils.logger.setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", "`torch.distributed", FutureWarning)  # what it calls has new names since
        if distributed.is_leader() and (keys := unused_keys()):
            say(f"Note: {', '.join(keys)} of the DeepSpeed configuration are not used; the recipe says what they do.")
        deepspeed.init_distributed()  # takes the group that is there
        inner, config = Root(self.model), engine_settings(settings)
        # One weight after the other, where the engine would move the whole model to the device first; buffers stay.
        deepspeed.zero.Init(module=inner, config_dict_or_path=config, dtype=torch.float32)
        for buffer in inner.buffers():
            buffer.data = buffer.data.to(self._device)
        engine, *_others = deepspeed.initialize(model=inner, optimizer=optimizer, config=config)
        self._engine.append(engine)
        return list(engine.optimizer.fp32_partitioned_groups_flat)

    def forward(self, work: Callable[[], Result]) -> Result:
        """As Root's. Gradients are summed over the ranks, where DeepSpeed would take their mean: see loss/losses.py."""
        if not self._engine:
            return work()

        def in_our_precision() -> Result:
            with autocast(self._device):
                return work()

        with torch.autocast(self._device.type, enabled=False):  # the engine warns of one around it
            result: Result = self._engine[0](in_our_precision)
        ranks = distributed.world_size()
        for tensor in tree_leaves(result):
            if tensor.requires_grad:
                tensor.register_hook(lambda gradient: gradient * ranks)
        return result

    def tell(self, last: bool) -> None:
        """Before a pass: whether it is the last of its step."""
        self._engine[0].set_gradient_accumulation_boundary(last)

    def step(self) -> Tensor:
        """Clips the gradients of all passes since the step before and takes a step; their norm before clipping."""
        self._engine[0].step()
        return torch.as_tensor(self._engine[0].get_global_grad_norm(), dtype=torch.float32, device=self._device)

    def end(self) -> None:
        """Takes DeepSpeed off the model, whose weights stay in pieces."""
        if self._engine:
            self._engine.pop().destroy()
            _forget_modules()
        functional.linear = self._linear  # which it exchanges for all of torch


def _forget_modules() -> None:
    """Empties what DeepSpeed keeps for good of every model it had, and with it all that a study took of the memory."""
    from deepspeed.runtime.zero import parameter_offload
    from deepspeed.runtime.zero.partitioned_param_coordinator import PartitionedParameterCoordinator

    parameter_offload.FWD_MODULE_STACK.clear()
    for method in vars(PartitionedParameterCoordinator).values():
        for cell in getattr(method, "__closure__", None) or ():
            if hasattr(cell.cell_contents, "cache_clear"):  # by its arguments, modules among them
                cell.cell_contents.cache_clear()
