"""How much memory the slots may take, and what running out of it looks like."""

from __future__ import annotations

import gc

import torch

# A slot on a GPU costs its keys and values; on a CPU more rows than this gain nothing.
AUTOMATIC_SLOTS = {"cuda": 2048}
AUTOMATIC_SLOTS_ELSEWHERE = 128
LIBRARY_SLOTS = 256
"""At most so many for `generate`, whose dynamic cache is copied in each step."""

_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")


def automatic_slots(device: torch.device) -> int:
    """Sequences at a time where the recipe does not say, the memory apart."""
    return AUTOMATIC_SLOTS.get(device.type, AUTOMATIC_SLOTS_ELSEWHERE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is one of the many ways to say so: CUDA's error, Python's, a message of the CPU's allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # Graphs, pinned memory, Triton and cuBLAS take theirs past torch's allocator, and say it in their own ways.
    return isinstance(error, RuntimeError) and any(message in str(error).lower() for message in _MESSAGES)


def free_memory(device: torch.device) -> int | None:
    """Bytes that tensors can still take on a GPU; None elsewhere, where it is not known."""
    if device.type != "cuda":
        return None
    free, _total = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def release(device: torch.device) -> None:
    """Gives back what nothing refers to any more."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # what a failed pass left queued may still read what is freed here
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def slots_that_fit(most: int, slot_bytes: int, free: int | None) -> int:
    """As many slots as take half of the free memory, `most` at most; then a power of two, so that shapes recur.

    The other half is for what a step computes. At least one: whether that fits will show.
    """
    fitting = most if free is None else free // 2 // slot_bytes
    return most if fitting >= most else max(1, 1 << max(0, fitting.bit_length() - 1))
