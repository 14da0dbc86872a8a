"""The engine itself: made once for all prompts of an exam or an evaluation, then run for some of them at a time."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from tutelage.student.engine.attention import slots_attention
from tutelage.student.engine.cache import SlotCache
from tutelage.student.engine.decoder import EagerDecoder, Work
from tutelage.student.engine.drawing import Drawing
from tutelage.student.engine.flex import BLOCK, compiled_join
from tutelage.student.engine.graph import GraphDecoder
from tutelage.student.engine.probe import check
from tutelage.student.engine.scheduler import Ends, More, Request, Scheduler
from tutelage.student.model.memory import free_memory, slots_that_fit

_SMALLEST_HEAD = 16  # dimensions, for FlexAttention's kernels


@dataclass(frozen=True, slots=True)
class Options:
    """How the engine runs; for measuring, and for tests. None takes what suits the device.

    chunk: steps between two looks of the host. flex: FlexAttention, or else matrix products. graph: CUDA graphs.
    dtype: of the arithmetic.
    """

    chunk: int | None = None
    flex: bool | None = None
    graph: bool | None = None
    dtype: torch.dtype | None = None


class Engine:
    """Answers prompts that are given as tokens.

    slots: how many sequences at a time it came to. shared: tokens that all prompts begin with, stored once.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        drawing: Drawing,
        slots: int,
        options: Options = Options(),
        chosen: Callable[[int], None] | None = None,
    ) -> None:
        """slots: at most so many; fewer where memory is short. seeds: one a prompt, none if nothing is drawn.

        chosen: is told how many slots it will be, before their memory is taken.
        Raises: NotImplementedError and others if the model cannot be run so, as far as it shows; what says that memory
        is out (see `memory.is_out_of_memory`).
        """
        self.shared = shared_prefix(prompts)
        rests = [prompt[self.shared :] for prompt in prompts]
        places = max(map(len, rests)) - 1 + drawing.max_new_tokens
        work = Work(rests, seeds, drawing, places)
        room = -(-places // BLOCK) * BLOCK
        check_rotary(model.config, self.shared + places)
        with _current(model.device), torch.no_grad():
            self._model = working_copy(model, options.dtype)
            cache = self._encode_prefix(prompts[0], reach=self.shared + places)
            self.slots = slots_that_fit(slots, cache.slot_bytes(room), free_memory(model.device))
            if chosen is not None:
                chosen(self.slots)
            cache.allocate(self.slots, room)
            self._decoder = _decoder(self._model, cache, work, options)
            if isinstance(self._decoder, GraphDecoder):
                with slots_attention(self._model):
                    self._decoder.capture()
            check(model, self._model, self._decoder, prompts)

    @torch.no_grad()
    def run(
        self,
        requests: Sequence[Request],
        watch: Callable[[], Ends],
        done: Callable[[Request, list[int]], None],
        more: More | None = None,
    ) -> None:
        """As `Scheduler`. Raises: what says that memory is out; what is done then, is done."""
        limit = self._decoder.work.drawing.max_new_tokens
        with _current(self._model.device), slots_attention(self._model):
            Scheduler(self._decoder, requests, limit, watch, done, more).run()

    def _encode_prefix(self, prompt: Sequence[int], reach: int) -> SlotCache:
        # One token at least, even if none is kept: it shows the shapes of keys and values.
        token_1P = torch.tensor([prompt[: max(1, self.shared)]], device=self._model.device)
        cache = SlotCache(reach)
        arguments: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
        position_1P = torch.arange(token_1P.shape[1], device=token_1P.device)[None]
        with slots_attention(self._model):
            self._model.base_model(input_ids=token_1P, position_ids=position_1P, **arguments)
        if not cache.prefix:
            raise NotImplementedError("it keeps no keys and values, or its attention is not exchangeable")
        cache.keep_prefix(self.shared)
        return cache


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """The tokens that all prompts begin with; one at least is left to each, since generation starts from it.

    Split at tokens, never at text: a cut text merges its tokens differently.
    """
    low, high = list(min(prompts, key=list)), list(max(prompts, key=list))  # what these two share, all between them do
    shared = next((place for place, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))
    return min(shared, min(map(len, prompts)) - 1)


def check_rotary(config: PreTrainedConfig, reach: int) -> None:
    """Raises: NotImplementedError if the frequencies of rotary positions follow from a batch's longest path.

    reach: the longest path, in tokens. What neighbours a sequence has would decide what it gets, and what the cache
    holds would be of other frequencies than what comes later.
    """
    text = config.get_text_config()
    told = getattr(text, "rope_parameters", None) or {}
    kinds = [told] if "rope_type" in told else [kind for kind in told.values() if isinstance(kind, dict)]
    for kind in kinds:
        limit = kind.get("original_max_position_embeddings") or text.max_position_embeddings
        if kind.get("rope_type") in ("dynamic", "longrope") and reach > limit:
            raise NotImplementedError(
                f"its positions are of the kind {kind['rope_type']}, which changes behind {limit} tokens, and there "
                f"are up to {reach}"
            )


def _current(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The device as CUDA's current one, which streams, graphs and kernels go by, for a while."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def working_copy(model: PreTrainedModel, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The model to answer with: on a GPU that has bfloat16 a frozen copy in it, else the model itself.

    Half the bytes to read in each step, and no cast of a weight. dtype: another one. Buffers, such as the frequencies
    of rotary positions, stay as they are: they would lose what they are precise for.
    """
    device = model.device
    if dtype is None:
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = torch.bfloat16 if bf16 else model.dtype
    if dtype == model.dtype:
        return model
    weights = {id(p): nn.Parameter(p.detach().to(dtype), requires_grad=False) for p in model.parameters()}
    copied = copy.deepcopy(model, dict(weights))  # takes these for the copies of the weights
    copied.eval()
    return copied


def _decoder(model: PreTrainedModel, cache: SlotCache, work: Work, options: Options) -> EagerDecoder:
    keys_KPD, values_KPE = cache.prefix[0]
    on_gpu = model.device.type == "cuda"
    if not (on_gpu if options.graph is None else options.graph):
        return EagerDecoder(model, cache, work, options.chunk or 1)
    fits = min(keys_KPD.shape[2], values_KPE.shape[2]) >= _SMALLEST_HEAD
    flex = compiled_join() if (fits if options.flex is None else options.flex) else None
    return GraphDecoder(model, cache, work, options.chunk or 8, flex)
