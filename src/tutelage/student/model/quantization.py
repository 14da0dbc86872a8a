"""Weights in 4 bits (QLoRA), by bitsandbytes: the linear layers but the head."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tutelage.errors import StudentError

# When PEFT imports it on a CPU with bfloat16, it says that it lacks a kernel from the hub, which is not wanted here.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

_MARK = "support_avx512bf16_for_cpu"
"""What bitsandbytes' layers of 4 bits have, and no others."""


def need(package: str, extra: str) -> None:
    """Raises: StudentError if a package that the recipe's [lora] needs is not installed. extra: which brings it."""
    if find_spec(package) is None:
        raise StudentError(
            f"The recipe's [lora] needs the Python package {package}, which is not installed: "
            f"`pip install 'tutelage[{extra}]'`."
        )


def in_4_bits(device: torch.device) -> dict[str, Any]:
    """The arguments of `from_pretrained` that quantise a model while it loads onto the device.

    Raises: StudentError if bitsandbytes is not installed.
    """
    need("bitsandbytes", "qlora")
    in_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if in_bfloat16 else torch.float32,
    )
    return {"quantization_config": config, "device_map": {"": device}}


@contextlib.contextmanager
def exact_arithmetic(model: PreTrainedModel) -> Iterator[None]:
    """Quantised layers in float32, if there are any, for whoever compares two ways to compute the same."""
    layers: list[Any] = [module for module in model.modules() if hasattr(module, _MARK)]
    before = [layer.compute_dtype for layer in layers]
    for layer in layers:
        layer.compute_dtype = torch.float32
    try:
        yield
    finally:
        for layer, dtype in zip(layers, before, strict=True):
            layer.compute_dtype = dtype


def keep_weights(model: PreTrainedModel) -> None:
    """Keeps a quantised model from changing its weights in a forward pass.

    On a CPU with bfloat16 bitsandbytes packs them anew in evaluation mode, with coarser scales, for good.
    """
    for module in model.modules():
        if hasattr(module, _MARK):
            setattr(module, _MARK, False)


def dequantized(model: PreTrainedModel) -> PreTrainedModel:
    """A quantised model as a plain float32 one that computes the same but for rounding; the given one is used up."""
    turned = [name for name, module in model.named_modules() if getattr(module, "source_cls", None) is Conv1D]
    plain: Any = model
    plain = plain.dequantize(torch.float32)
    assert isinstance(plain, PreTrainedModel)  # noqa: S101 - for the type checker
    for name in turned:
        plain.set_submodule(name, _turned_back(plain.get_submodule(name)))
    return plain


def _turned_back(linear: Any) -> Conv1D:
    """A GPT-2's layer, whose weights stand the other way round, from the linear one that the library leaves of it."""
    with torch.device("meta"):
        layer = Conv1D(linear.out_features, linear.in_features)
    layer.weight = torch.nn.Parameter(linear.weight.detach().T.contiguous())
    layer.bias = linear.bias
    return layer
