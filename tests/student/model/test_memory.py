"""How many slots fit, and what running out of memory looks like."""

from __future__ import annotations

import pytest
import torch

from tutelage.student.model.memory import is_out_of_memory, slots_that_fit


@pytest.mark.parametrize(
    ("most", "free", "slots"),
    [
        (2048, None, 2048),
        (300, None, 300),
        (2048, 2 * 2048 * 10, 2048),
        (2048, 2 * 2047 * 10, 1024),
        (300, 2 * 400 * 10, 300),
        (300, 2 * 299 * 10, 256),
        (2048, 2 * 10, 1),
        (2048, 3, 1),
    ],
)
def test_half_of_the_free_memory_is_for_slots(most: int, free: int | None, slots: int) -> None:
    assert slots_that_fit(most, 10, free) == slots


def test_only_a_lack_of_memory_is_one() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert is_out_of_memory(RuntimeError("Triton Error [CUDA]: out of memory"))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(ValueError("not enough memory"))


def test_the_cpus_allocator_is_understood() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**55)
    assert is_out_of_memory(error.value)
