"""What DeepSpeed is told when accelerate is set up for it: how the student lies in memory, and nothing that it learns.

An accelerate configuration for DeepSpeed, or the DeepSpeed file that it names, counts for where weights, gradients and
optimizer state lie and how they travel. What decides a study's result is the recipe's alone, as with any other way of
studying: the optimizer, clipping, batches and precision of the configuration are not used, and a run says so.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from accelerate.utils import DeepSpeedPlugin

from tutelage.config import StudySettings
from tutelage.errors import StudentError

STAGE = 3
_ZERO = "zero_optimization"
_TAKEN = {
    "allgather_bucket_size",
    "contiguous_gradients",
    "offload_optimizer",
    "offload_param",
    "overlap_comm",
    "reduce_bucket_size",
    "reduce_scatter",
    "round_robin_gradients",
    "stage",
    "stage3_gather_16bit_weights_on_model_save",  # of no use here, and in every template
    "stage3_max_live_parameters",
    "stage3_max_reuse_distance",
    "stage3_param_persistence_threshold",
    "stage3_prefetch_bucket_size",
    "sub_group_size",
}
"""Keys of ZeRO that change no result and were tried; others are refused, since some change what is learned."""
_OURS = ("optimizer", "scheduler", "gradient_clipping", "bf16", "fp16", "amp", "torch_autocast")


def is_set_up() -> bool:
    """Whether `accelerate launch` started this process for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() in ("1", "true", "yes")


def check() -> None:
    """Raises: StudentError if DeepSpeed is not installed, or its configuration is none that a study can follow."""
    if find_spec("deepspeed") is None:
        raise StudentError(
            "accelerate is set up for DeepSpeed, which is not installed: `pip install 'tutelage[deepspeed]'`. Without "
            'it, sharding = "full" under [study] of the recipe shards a student too.'
        )
    _zero(_configuration())


def engine_settings(settings: StudySettings) -> dict[str, Any]:
    """What `deepspeed.initialize` takes as its configuration. Raises: StudentError as `check`."""
    return {
        "train_micro_batch_size_per_gpu": 1,  # counted by nobody: a pass gets what StudyStep gives it
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.max_gradient_norm,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # torch's AdamW, wherever the state lies
        "steps_per_print": 1 << 60,
        _ZERO: _zero(_configuration()),
    }


def unused_keys() -> list[str]:
    """Those of the configuration whose place the recipe takes."""
    return [key for key in _OURS if _says(_configuration().get(key))]


def _says(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("enabled", True) is True
    return value not in (None, "auto")


def _configuration() -> dict[str, Any]:
    try:
        plugin = DeepSpeedPlugin()
    # Of a file that is none, is no JSON, or is beside keys of accelerate's that say the same.
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise StudentError(f"accelerate does not take its configuration for DeepSpeed: {error}") from error
    found: dict[str, Any] = plugin.deepspeed_config
    return found


def _zero(configuration: dict[str, Any]) -> dict[str, Any]:
    """The part about ZeRO, without what is left to DeepSpeed."""
    zero = {key: value for key, value in configuration[_ZERO].items() if value not in (None, "auto")}
    if zero.get("stage") != STAGE:
        raise StudentError(
            f"accelerate is set up for DeepSpeed's ZeRO stage {zero.get('stage')}; a study takes stage 3. Set "
            "zero_stage: 3 in its configuration, or launch without DeepSpeed, where each GPU holds the whole student."
        )
    devices = {_device(zero, part) for part in ("offload_optimizer", "offload_param")}
    if strange := sorted(set(zero) - _TAKEN):
        raise StudentError(
            f"The DeepSpeed configuration has {', '.join(strange)} under {_ZERO}, which a study does not take. Leave "
            f"it out. Taken are: {', '.join(sorted(_TAKEN))}."
        )
    if strange := sorted(devices - {"none", "cpu"}):
        raise StudentError(f"DeepSpeed is set up to offload to {strange[0]}; a study takes cpu, or none.")
    for part in ("offload_optimizer", "offload_param"):
        if _device(zero, part) == "none":
            zero.pop(part, None)
    return zero


def _device(zero: dict[str, Any], part: str) -> str:
    return str((zero.get(part) or {}).get("device", "none"))
