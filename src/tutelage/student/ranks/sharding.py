"""A student in shards: every rank holds a part of each weight, and layers are put together when they are used (FSDP2).

For students that do not fit one card. All calls of the model go through a `Root`, which puts together what is no
layer's: the embeddings, the last norm and the head, tied or not. Every rank takes part in every pass, so passes are
one forward each, and a rank without samples goes along with one that weighs nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from tutelage import distributed
from tutelage.config import StudySettings
from tutelage.errors import StudentError
from tutelage.student.model.student import Student
from tutelage.student.ranks import zero_settings
from tutelage.student.ranks.partitioned import Partitioned, is_partitioned, whole_weight

Result = TypeVar("Result")


class Root(nn.Module):
    """Around a model: whatever calls parts of it does so in here, where its shards are put together.

    compiles: whether its layers may be compiled.
    """

    compiles = True

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Result]) -> Result:
        """What `work` gives: tensors, in tuples if they are several."""
        return work()


def is_wanted(settings: StudySettings, quantized: bool) -> bool:
    """Whether a study shards its student: by the recipe or by the configuration of `accelerate launch`.

    For DeepSpeed it is ZeRO-3 that does (zero.py), for all others FSDP2.

    Raises: StudentError for a configuration that is not supported, and for a quantized student.
    """
    wanted = _is_asked_for(settings)
    if wanted and quantized:
        raise StudentError(
            'A student in 4 bits (lora.quantize) cannot be sharded. Take study.sharding = "none", and no configuration '
            "of accelerate for FSDP or DeepSpeed."
        )
    return wanted


def _is_asked_for(settings: StudySettings) -> bool:
    if distributed.world_size() == 1:
        return False
    if zero_settings.is_set_up():
        zero_settings.check()
        return True
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() not in ("1", "true", "yes"):
        return settings.sharding == "full"
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise StudentError("accelerate is set up for FSDP, version 1. Set fsdp_version: 2 in its configuration.")
    return True


def shard(root: Root, device: torch.device) -> None:
    """Leaves of each weight this rank's part, on the device; the model may lie on the CPU until then."""
    # Of layers that give a view, which nothing here changes in place.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    mesh = init_device_mesh(device.type, (distributed.world_size(),))
    # As autocast does without shards: linear layers in bfloat16, all else in float32, gradients summed in float32.
    low = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else None
    policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for layer in layers_of(root.model):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(root, mesh=mesh, mp_policy=replace(policy, param_dtype=None))
    for module in root.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)  # sums, not means: see loss/losses.py
            module.set_force_sum_reduction_for_comms(True)


def forget_pass(root: Root) -> None:
    """Makes a model in shards ready for another pass after one that failed, on all ranks, at whatever place."""
    for module in root.modules():
        if isinstance(module, FSDPModule):
            for parameter in module.parameters():
                parameter.grad = None
    # What the end of a backward pass does, which a failed one never comes to; there is no public name for it.
    fully_shard.state(root)._root_post_backward_final_callback()  # type: ignore[attr-defined]
    for module in root.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The repeated blocks of the model, as the library marks them."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def where_it_lies(student: Student) -> Student:
    """The student on the device that its weights are on, which need not be that of its study yet."""
    return replace(student, device=next(student.model.parameters()).device)


@torch.no_grad()
def whole(tensor: Tensor | Partitioned) -> Tensor:
    """A tensor put together from all ranks' shards, on every rank; itself if it is in no shards."""
    if isinstance(tensor, Partitioned):
        return tensor.whole()
    if isinstance(tensor, nn.Parameter) and is_partitioned(tensor):
        return whole_weight(tensor)
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def own_rows(tensor: Tensor) -> slice | None:
    """Which rows of a sharded tensor are this rank's; None if it is in no shards."""
    if not isinstance(tensor, DTensor):
        return None
    rows = tensor.shape[0]
    chunk = -(-rows // tensor.device_mesh.size())
    start = min(rows, chunk * tensor.device_mesh.get_local_rank())
    return slice(start, min(rows, start + chunk))


def own_part(tensor: Tensor) -> Tensor:
    """This rank's rows of a tensor; itself if it is in no shards."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def is_sharded(model: PreTrainedModel) -> bool:
    """Whether it lies in shards, of either kind."""
    return any(isinstance(one, DTensor) or is_partitioned(one) for one in model.parameters())


def gather_weights(model: PreTrainedModel) -> dict[str, Tensor] | None:
    """A sharded model's whole weights on the CPU of the leader, for `save_student`; None if it is in no shards.

    All ranks call it; the others get nothing. One weight at a time is whole on the device. Tied weights are one tensor
    under several names, as in the model, and so are saved once.
    """
    if not is_sharded(model):
        return None
    state: dict[str, Tensor] = model.state_dict(keep_vars=True)
    gathered: dict[Tensor, Tensor] = {}
    for tensor in state.values():
        if tensor not in gathered:
            full = whole(tensor)
            gathered[tensor] = full.cpu() if distributed.is_leader() else tensor
    return {name: gathered[tensor] for name, tensor in state.items()} if distributed.is_leader() else {}
