"""The bound that memory sets: a step of decoding reads the weights once and every key and value once."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import torch

from measuring.models import load_model
from measuring.timing import Stopwatch

COPIES = 20


@dataclass(frozen=True, slots=True)
class BoundJob:
    """What to bound: `sequences` at a time, `demonstrations` shared tokens, `own` tokens of each on average."""

    model: str
    device: str
    sequences: int
    demonstrations: int
    own: float


def measure_bound(job: BoundJob) -> dict[str, Any]:
    """New tokens a second that the measured bandwidth allows, with the demonstrations read once and for each sequence.

    Weights and keys and values count in bfloat16 on a GPU and float32 on a CPU, the arithmetic's precision there.
    """
    place = torch.device(job.device)
    bandwidth = copy_bandwidth(place)
    size = 2 if place.type == "cuda" else 4
    model = load_model(job.model, job.device).model
    config = model.config.get_text_config()
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * config.num_key_value_heads * width * size
    weights = sum(parameter.numel() for parameter in model.parameters()) * size
    shared = weights + token * (job.demonstrations + job.sequences * job.own)
    unshared = weights + token * job.sequences * (job.demonstrations + job.own)
    return {
        "bandwidth_gb_per_second": round(bandwidth / 1e9, 1),
        "weights_gb": round(weights / 1e9, 3),
        "kv_bytes_per_token": token,
        "bound_step_ms": round(shared / bandwidth * 1000, 4),
        "bound_step_ms_unshared": round(unshared / bandwidth * 1000, 4),
        "bound_tokens_per_second": round(job.sequences * bandwidth / shared, 1),
        "bound_tokens_per_second_unshared": round(job.sequences * bandwidth / unshared, 1),
    }


def copy_bandwidth(place: torch.device) -> float:
    """Bytes read and written a second by a large copy on the device; the median of several, after a warm-up."""
    size = 2**32 if place.type == "cuda" else 2**27
    source = torch.empty(size, dtype=torch.uint8, device=place).random_()
    target = torch.empty_like(source)
    stopwatch = Stopwatch(place)
    seconds = []
    for _ in range(COPIES):
        stopwatch.start()
        target.copy_(source)
        seconds.append(stopwatch.stop())
    return 2 * size / statistics.median(seconds[2:])
