"""What the ranks of test_zero.py do. They are forked after this is imported, which takes seconds."""

from __future__ import annotations

import gc
import os
from typing import Any

import deepspeed.ops
import deepspeed.runtime.engine
import deepspeed.runtime.zero.muon.muon_optimizer
import torch

from tests.student.packed.architectures import make_student
from tests.student.ranks import ranked
from tutelage.config import LoraSettings
from tutelage.student.model.lora import begin_adapter
from tutelage.student.packed import sums

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # collectives of its own, which it would compile first
sums.CHUNK = sums.SMALL_CHUNK = 16  # as few predictions at a time as would show that ranks have different numbers


def train(config: str = "", adapter: bool = False, **named: Any) -> dict[str, Any]:
    """As ranked.train. config: the DeepSpeed file of accelerate. adapter: a LoRA alone is trained."""

    def with_adapter(make: Any) -> Any:
        student = make_student(make)
        begin_adapter(student, LoraSettings(r=4), 5)
        return student

    os.environ["ACCELERATE_DEEPSPEED_CONFIG_FILE"] = config
    if adapter:
        ranked.make_student = with_adapter  # type: ignore[attr-defined]  # in a process that ends after it
    return ranked.train(**named)


def train_twice(config: str, save: str) -> dict[str, Any]:
    """What two studies gave, and the bytes of all tensors there are after each."""
    found, left = [], []
    for _ in range(2):
        found.append(train(config, save=save))
        gc.collect()
        tensors = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
        left.append(sum(tensor.untyped_storage().nbytes() for tensor in tensors))
    return {**found[1], "first": found[0], "left": left, "linear": torch.nn.functional.linear.__module__}
