"""The decoder on a CUDA GPU: a step is one captured graph, replayed a chunk at a time while the host looks behind.

A step of a small model is some fifteen hundred kernels of a few microseconds; launched one by one, the launching
would take most of the time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.student.engine.cache import SlotCache
from tutelage.student.engine.decoder import EagerDecoder, Work
from tutelage.student.engine.flex import FlexJoin
from tutelage.student.engine.scheduler import Chunk

_WARM_UP = 2  # steps before capture, in which libraries allocate and compile


class GraphDecoder(EagerDecoder):
    """All slots in each step, empty ones too: a graph's shapes are fixed.

    Not a step runs before `capture`. flex: joins prefix and slots; None takes plain matrix products over whole slots.
    """

    lag = 1
    compact = False

    def __init__(self, model: Any, cache: SlotCache, work: Work, chunk: int = 8, flex: FlexJoin | None = None) -> None:
        super().__init__(model, cache, work, chunk)
        self._prepare = self._preparation(flex)
        self._recent_CR = torch.zeros(chunk, self.slots, dtype=torch.int64, device=self._token_R.device)
        self._turn_1 = torch.zeros(1, dtype=torch.int64, device=self._token_R.device)
        self._graph = torch.cuda.CUDAGraph()

    def capture(self, fuse: bool) -> None:
        """Captures a step. The slots have to be empty. fuse: compiles small parts of the layers, see `fused_parts`."""
        stream = torch.cuda.Stream(self._token_R.device)
        stream.wait_stream(torch.cuda.current_stream())
        with fused_parts(self._model) if fuse else contextlib.nullcontext():
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self.step(self.slots)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(self._graph):
                self.step(self.slots)
        for state in (self._token_R, self._place_R, self._step_R, self._turn_1):
            state.zero_()

    def launch(self, rows: int) -> Chunk:
        """As Decoder. Returns at once; reading the chunk waits for it."""
        for _ in range(self.chunk):
            self._graph.replay()
        tokens_CR = self._recent_CR.to("cpu", non_blocking=True, copy=True)
        there = torch.cuda.Event()
        there.record()

        def read() -> list[list[int]]:
            there.synchronize()
            tokens: list[list[int]] = tokens_CR.tolist()
            return tokens

        return read

    def step(self, rows: int) -> Tensor:
        """One new token for each slot; nothing in it waits for the device. The logits, [R, V]."""
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


@contextlib.contextmanager
def fused_parts(model: nn.Module) -> Iterator[None]:
    """Compiles the parts of the model's layers that know no layer's index: norms and feed-forward networks.

    For the time of a capture; what was captured stays so. Attention would have to be compiled for each layer anew.
    """
    layers = max((m for m in model.modules() if isinstance(m, nn.ModuleList)), key=len, default=nn.ModuleList())
    parts = [part for layer in layers for part in layer.children() if not _knows_its_layer(part)]
    for part in parts:
        part.forward = torch.compile(part.forward, dynamic=False)
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def _knows_its_layer(part: nn.Module) -> bool:
    return any(hasattr(module, "layer_idx") for module in part.modules())
