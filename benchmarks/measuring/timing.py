"""Time and memory of steps on a device."""

from __future__ import annotations

import platform
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import transformers

GIB = 2**30


def synchronize(device: torch.device) -> None:
    """Waits for the device: its work is asynchronous, and the clock is the host's."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Seconds between `start` and `stop`, all work of the device included."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._began = 0.0

    def start(self) -> None:
        synchronize(self._device)
        self._began = time.perf_counter()

    def stop(self) -> float:
        synchronize(self._device)
        return time.perf_counter() - self._began


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Of a run of steps, in seconds; the first ones, which compile and warm up, stand apart.

    memory_gib: the device's peak of allocated memory, all of the process's memory on a CPU. reserved_gib: what the
    allocator held at its peak (as memory_gib on a CPU).
    """

    median: float
    least: float
    most: float
    first: tuple[float, ...]
    memory_gib: float
    reserved_gib: float

    @classmethod
    def of(cls, seconds: Sequence[float], warmup: int, device: torch.device) -> StepTimes:
        steady = seconds[warmup:]
        if not steady:
            raise ValueError(f"{len(seconds)} steps leave none after {warmup} of warm-up")
        return cls(
            statistics.median(steady), min(steady), max(steady), tuple(seconds[:warmup]), *peak_memory_gib(device)
        )


def peak_memory_gib(device: torch.device) -> tuple[float, float]:
    """Allocated and reserved, at their peaks, by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB, torch.cuda.max_memory_reserved(device) / GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    return peak, peak


def environment(device: torch.device) -> dict[str, Any]:
    """What a reader needs to judge a number."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def as_json(times: StepTimes) -> dict[str, Any]:
    """Rounded to what a clock can tell."""
    rounded: dict[str, Any] = {}
    for name, value in asdict(times).items():
        rounded[name] = [round(item, 5) for item in value] if isinstance(value, tuple) else round(value, 5)
    return rounded
