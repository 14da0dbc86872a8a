"""The decoder: prompts into slots, and one token a step for each slot.

Shapes: R slots, N new tokens, V tokens of the vocabulary, B rests of prompts of up to L tokens, C steps of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.student.engine.cache import SlotCache
from tutelage.student.engine.drawing import Drawing, Sampling, choose, uniform_numbers
from tutelage.student.engine.scheduler import Chunk, Request

PREFILL_TOKENS = {"cuda": 65536}
PREFILL_TOKENS_ELSEWHERE = 8192
"""Tokens of a forward that prefills, prefix included: its attention copies the prefix for each prompt."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a decoder is to work on.

    rests: each prompt's tokens behind the shared ones, one at least. seeds: one a prompt (read only where tokens are
    drawn). places: of a slot that can be filled, S rounded down.
    """

    rests: Sequence[Sequence[int]]
    seeds: Sequence[int]
    drawing: Drawing
    places: int


class EagerDecoder:
    """Steps that the host launches one operation after the other: for CPUs. Only rows in use are computed."""

    lag = 0
    compact = True
    way = "eager"  # of running a step

    def __init__(self, model: Any, cache: SlotCache, work: Work, chunk: int = 1) -> None:
        self._model = model
        self._cache = cache
        self.work = work
        self._shared = cache.get_seq_length()
        self.slots = cache.own[0][0].shape[0]
        self.chunk = chunk
        device = cache.own[0][0].device
        self._token_R = torch.zeros(self.slots, dtype=torch.int64, device=device)
        self._place_R = torch.zeros_like(self._token_R)  # where the token goes, its position less the shared ones
        self._step_R = torch.zeros_like(self._token_R)
        length = work.drawing.max_new_tokens
        self._uniform_RN = torch.zeros(self.slots, length, dtype=torch.float64, device=device)

    def enter(self, entries: Sequence[tuple[int, Request]]) -> None:
        """As Decoder. A prompt is encoded once for all its sequences that enter now; its last token is left to step."""
        slot_N = self._tensor([slot for slot, _ in entries])
        self._cache.clear(slot_N)
        prompts = list(dict.fromkeys(request.prompt for _, request in entries))
        for batch in self._prefill_batches([p for p in prompts if len(self.work.rests[p]) > 1]):
            number = {prompt: place for place, prompt in enumerate(batch)}
            meant = [(slot, number[request.prompt]) for slot, request in entries if request.prompt in number]
            self._prefill([self.work.rests[prompt][:-1] for prompt in batch], meant)
        rests = [self.work.rests[request.prompt] for _, request in entries]
        self._token_R[slot_N] = self._tensor([rest[-1] for rest in rests])
        self._place_R[slot_N] = self._tensor([len(rest) - 1 for rest in rests])
        self._step_R.index_fill_(0, slot_N, 0)
        if isinstance(self.work.drawing, Sampling):
            keys = [(self.work.seeds[request.prompt], request.sample) for _, request in entries]
            self._uniform_RN[slot_N] = self._on_device(uniform_numbers(keys, self._uniform_RN.shape[1]))

    def move(self, moves: Sequence[tuple[int, int]]) -> None:
        """As Decoder."""
        source_N, target_N = (self._tensor([move[end] for move in moves]) for end in (0, 1))
        self._cache.move(source_N, target_N, int(self._place_R[source_N].max()))
        for state in (self._token_R, self._place_R, self._step_R, self._uniform_RN):
            state[target_N] = state[source_N]

    def launch(self, rows: int) -> Chunk:
        """As Decoder."""
        tokens_CR = []
        for _ in range(self.chunk):
            self.step(rows)
            tokens_CR.append(self.newest(rows))
        return lambda: tokens_CR

    def step(self, rows: int) -> Tensor:
        """One new token for each of the first slots, and the logits that it was chosen by, [rows, V]."""
        self._cache.decode(self._place_R[:rows], int(self._place_R[:rows].max()) + 1)
        return self._forward(rows)

    def reset(self) -> None:
        """Makes all slots empty."""
        for state in (self._token_R, self._place_R, self._step_R):
            state.zero_()

    def newest(self, rows: int) -> list[int]:
        """The newest tokens of the first slots."""
        tokens: list[int] = self._token_R[:rows].tolist()
        return tokens

    def _forward(self, rows: int) -> Tensor:
        output = self._model(
            input_ids=self._token_R[:rows, None],
            position_ids=self._place_R[:rows, None] + self._shared,
            past_key_values=self._cache,
            use_cache=True,
        )
        logits_RV: Tensor = output.logits[:, -1]
        uniform_R = self._uniform_RN[:rows].gather(1, self._step_R[:rows, None])[:, 0]
        self._token_R[:rows] = choose(logits_RV, uniform_R, self.work.drawing)
        # What has come to its end may run on until the host has seen it: in its last place, with its last number.
        self._place_R[:rows].add_(1).clamp_(max=self.work.places - 1)
        self._step_R[:rows].add_(1).clamp_(max=self._uniform_RN.shape[1] - 1)
        return logits_RV

    def _prefill_batches(self, prompts: Sequence[int]) -> list[list[int]]:
        """Prompts of similar length together, as many as a forward may have tokens."""
        order = sorted(prompts, key=lambda prompt: -len(self.work.rests[prompt]))
        most = PREFILL_TOKENS.get(self._token_R.device.type, PREFILL_TOKENS_ELSEWHERE)
        batches: list[list[int]] = []
        size = 0
        for prompt in order:
            if not batches or len(batches[-1]) == size:
                size = max(1, most // (self._shared + len(self.work.rests[prompt])))
                batches.append([])
            batches[-1].append(prompt)
        return batches

    def _prefill(self, rests: Sequence[Sequence[int]], meant: Sequence[tuple[int, int]]) -> None:
        """Encodes rests of prompts into the slots that are meant: pairs of a slot and a rest's number."""
        length = max(map(len, rests))
        # What stands behind a shorter rest is seen by nobody: it comes later, and is overwritten in the slot.
        token_BL = self._tensor([[*rest, *[0] * (length - len(rest))] for rest in rests])
        position_1L = torch.arange(length, device=token_BL.device)[None] + self._shared
        slot_N, number_N = (self._tensor([pair[part] for pair in meant]) for part in (0, 1))
        self._cache.prefill(slot_N, number_N, length)
        self._model.base_model(  # nobody reads the logits of a prompt
            input_ids=token_BL,
            position_ids=position_1L.expand(len(rests), -1),
            past_key_values=self._cache,
            use_cache=True,
        )

    def _tensor(self, values: Sequence[Any]) -> Tensor:
        return self._on_device(torch.tensor(values, dtype=torch.int64))

    def _on_device(self, values: Tensor) -> Tensor:
        return values.to(self._token_R.device)
