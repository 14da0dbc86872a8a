"""The decoder on a CUDA GPU: a step is one captured graph, replayed a chunk at a time while the host looks behind.

A step of a small model is some fifteen hundred kernels of a few microseconds; launched one by one, the launching
would take most of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from tutelage.student.engine.cache import SlotCache
from tutelage.student.engine.decoder import EagerDecoder, Work
from tutelage.student.engine.flex import FlexJoin
from tutelage.student.engine.scheduler import Chunk

_WARM_UP = 2  # steps before capture, in which libraries allocate and compile


class GraphDecoder(EagerDecoder):
    """All slots in each step, empty ones too: a graph's shapes are fixed.

    Not a step runs before `capture`, and all that run are replays of what it captured. flex: joins prefix and slots;
    None takes plain matrix products over whole slots.
    """

    lag = 1
    compact = False

    def __init__(self, model: Any, cache: SlotCache, work: Work, chunk: int = 8, flex: FlexJoin | None = None) -> None:
        super().__init__(model, cache, work, chunk)
        self._prepare = self._preparation(flex)
        self.way = "graph" if flex is None else "graph, flex"
        self._recent_CR = torch.zeros(chunk, self.slots, dtype=torch.int64, device=self._token_R.device)
        self._turn_1 = torch.zeros(1, dtype=torch.int64, device=self._token_R.device)
        self._graph = torch.cuda.CUDAGraph()
        self._logits_RV: Tensor  # written by each replay

    def capture(self) -> None:
        """Captures a step. The slots have to be empty, and the device the current one."""
        current = torch.cuda.current_stream(self._token_R.device)
        stream = _side_stream(self._token_R.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._step_all()
        current.wait_stream(stream)
        # A capture that breaks off may leave its stream behind: the outer context sets it back.
        with torch.cuda.stream(current), torch.cuda.graph(self._graph, stream=stream):
            self._logits_RV = self._step_all()
        self.reset()

    def reset(self) -> None:
        """As EagerDecoder; the next chunk begins at the first turn."""
        super().reset()
        self._turn_1.zero_()

    def launch(self, rows: int) -> Chunk:
        """As Decoder. Returns at once; reading the chunk waits for it."""
        for _ in range(self.chunk):
            self.step(rows)
        tokens_CR = self._recent_CR.to("cpu", non_blocking=True, copy=True)
        there = torch.cuda.Event()
        there.record()

        def read() -> list[list[int]]:
            there.synchronize()
            tokens: list[list[int]] = tokens_CR.tolist()
            return tokens

        return read

    def step(self, rows: int) -> Tensor:
        """One new token for each slot, by the captured graph. The logits, [R, V], until the next step."""
        self._graph.replay()
        return self._logits_RV

    def _step_all(self) -> Tensor:
        """What is captured: nothing in it waits for the device."""
        self._prepare()
        logits_RV = self._forward(self.slots)
        self._recent_CR.index_copy_(0, self._turn_1, self._token_R[None])
        self._turn_1.add_(1).remainder_(self.chunk)
        return logits_RV

    def _preparation(self, flex: FlexJoin | None) -> Callable[[], None]:
        if flex is not None:
            return self._cache.decode_all(self._place_R, flex)
        return partial(self._cache.decode, self._place_R, self._cache.own[0][0].shape[2])

    def _on_device(self, values: Tensor) -> Tensor:
        # From pinned memory, so that the copy queues up behind the running chunk, and the host goes on.
        return values.pin_memory().to(self._token_R.device, non_blocking=True)


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all captures on a device: for each stream that it meets, cuBLAS keeps a workspace for ever."""
    return torch.cuda.Stream(device)
