"""Low-rank adapters (LoRA) by PEFT: what a student studies in place of all its weights.

A student with an adapter on it is there to study. Wherever else one is needed, its adapter is merged into the weights.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tutelage.config import LoraSettings
from tutelage.errors import StudentError
from tutelage.student.model.quantization import dequantized, need
from tutelage.student.model.student import Student, load_student, safetensors_errors

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


@dataclasses.dataclass(frozen=True, slots=True)
class Adapter:
    """config: PEFT's. tensors: under the names of PEFT's file."""

    config: LoraConfig
    tensors: dict[str, Tensor]


def is_adapter(folder: Path) -> bool:
    """Whether a saved student is an adapter, and no whole model."""
    return (folder / _CONFIG).is_file()


def load_base(folder: Path, device: str, quantize: bool) -> Student:
    """A whole student as an adapter is merged into it: float32, dequantised if it is studied in 4 bits."""
    student = load_student(str(folder), device=device, quantize=quantize)
    return dataclasses.replace(student, model=dequantized(student.model)) if quantize else student


def begin_adapter(student: Student, settings: LoraSettings, seed: int) -> None:
    """Puts a fresh adapter on the student; its parameters alone require gradients from then on.

    seed: of its random half. The other half is zero, so that the student is as before.
    Raises: StudentError if no layer can have an adapter as `target_modules` says.
    """
    _put_on(student.model, _config(student.model, settings), seed)


def check_packages(settings: LoraSettings) -> None:
    """Raises: StudentError if a package that the settings need is not installed."""
    need("peft", "lora")
    if settings.quantize:
        need("bitsandbytes", "qlora")


def check_adapter(student: Student, settings: LoraSettings) -> None:
    """Tries what `begin_adapter` does and takes it back, so that it fails, if it does, before the first exam."""
    required = [parameter for parameter in student.model.parameters() if parameter.requires_grad]
    tuner: Any = _put_on(student.model, _config(student.model, settings), 0)
    tuner.unload()
    for parameter in required:
        parameter.requires_grad_(True)


def continue_adapter(student: Student, adapter: Adapter) -> None:
    """Puts an adapter on the student to study on; its parameters alone require gradients from then on."""
    _put_back(student.model, adapter, train=True)


def merge_adapter(student: Student, adapter: Adapter) -> None:
    """Adds an adapter to the student's weights."""
    tuner: Any = _put_back(student.model, adapter, train=False)
    tuner.merge_and_unload()


def adapter_of(student: Student, weights: dict[str, Tensor] | None = None) -> Adapter:
    """The adapter that is on a student. weights: as `save_student` takes them."""
    from peft import get_peft_model_state_dict

    model: Any = student.model
    state = get_peft_model_state_dict(model, weights, save_embedding_layers=False)
    # What PEFT wraps stands so in its files.
    tensors = {f"base_model.model.{name}": tensor.detach() for name, tensor in state.items()}
    return Adapter(model.peft_config["default"], tensors)


def read_adapter(folder: Path) -> Adapter:
    """A saved adapter. Raises: StudentError if its files are damaged or incomplete, or PEFT is missing."""
    need("peft", "lora")
    from peft import LoraConfig

    try:
        return Adapter(LoraConfig.from_pretrained(str(folder)), load_file(folder / _WEIGHTS))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise StudentError(f"The adapter in {folder} cannot be read: {error}. Put back a copy of it.") from None


def write_adapter(adapter: Adapter, base: str, revision: str | None, folder: Path) -> None:
    """Writes an adapter into `folder` as PEFT does.

    base, revision: the model that others are to put it on, by hub id or folder.
    Raises: OSError if it cannot be written.
    """
    config: Any = copy.deepcopy(adapter.config)
    config.base_model_name_or_path, config.revision, config.inference_mode = base, revision, True
    if isinstance(config.target_modules, set):  # whose order changes from process to process
        config.target_modules = sorted(config.target_modules)
    config.save_pretrained(str(folder))
    tensors = {name: tensor.contiguous() for name, tensor in adapter.tensors.items()}
    with safetensors_errors():
        save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})


def _config(model: PreTrainedModel, settings: LoraSettings) -> LoraConfig:
    need("peft", "lora")
    from peft import LoraConfig, TaskType

    targets = settings.target_modules
    seq2seq = getattr(model.config, "is_encoder_decoder", False)
    return LoraConfig(
        task_type=TaskType.SEQ_2_SEQ_LM if seq2seq else TaskType.CAUSAL_LM,
        target_modules=targets if isinstance(targets, str) else list(targets),
        **settings.model_dump(include={"r", "lora_alpha", "lora_dropout", "use_rslora"}),
    )


def _put_on(model: PreTrainedModel, config: LoraConfig, seed: int) -> PeftModel:
    """Puts a fresh adapter on a model, in place; PEFT's own model around it serves for merging and the like."""
    from peft import PeftModel, get_peft_model

    config = copy.deepcopy(config)
    # As GPT-2 has them, whose weights stand the other way round, unless they are in 4 bits.
    config.fan_in_fan_out = any(isinstance(module, Conv1D) for module in model.modules())
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PEFT's use of transformers
            torch.manual_seed(seed)  # layers begin on the CPU
            wrapped = get_peft_model(model, config)
    except ValueError as error:
        reason = str(error).strip().partition("\n")[0]
        raise StudentError(
            f"The student cannot have an adapter with lora.target_modules = {config.target_modules!r}: {reason} "
            'Take "all-linear", or names of its linear layers.'
        ) from None
    assert isinstance(wrapped, PeftModel)  # noqa: S101 - for the type checker
    _check_not_tied(model)
    return wrapped


def _check_not_tied(model: PreTrainedModel) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    if ends[1] is not None and ends[0].weight is ends[1].weight and any(isinstance(e, BaseTunerLayer) for e in ends):
        raise StudentError(
            "lora.target_modules names the embeddings or the head, whose weights are the same in this student: an "
            "adapter on one could not be merged without changing the other. Leave them out."
        )


def _put_back(model: PreTrainedModel, adapter: Adapter, train: bool) -> PeftModel:
    from peft import set_peft_model_state_dict

    config = copy.deepcopy(adapter.config)
    config.inference_mode, config.base_model_name_or_path = not train, None  # PEFT warns of a base by another name
    wrapped = _put_on(model, config, 0)
    loaded: Any = set_peft_model_state_dict(wrapped, adapter.tensors)
    missing = [name for name in loaded.missing_keys if "lora_" in name]
    if wrong := [*loaded.unexpected_keys, *missing]:
        raise StudentError(f"The adapter does not fit the student: {wrong[0]} ({len(wrong)} in all). Put back a copy.")
    return wrapped
