"""The engine's cache: the shared prefix once, and a slot of own places for each sequence.

A model's own forward fills it by `update`, as it fills any cache; what that returns goes straight into
`attention.attend_to_slots`, which asks it to attend. What is done with new keys and values depends on what the engine
is about: encoding the prefix, prefilling the rests of prompts, or decoding.

Shapes: as in attention.py, with R slots of S places, N sequences that enter, place_R: the newest token's place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Cache

from tutelage.student.engine.attention import States, attend_fresh, by_groups, join_by_matmul
from tutelage.student.engine.flex import FlexJoin, UsedBlocks

Pair = tuple[Tensor, Tensor]
"""Keys and values of a layer."""

Join = Callable[[Tensor, Pair, Pair, float], Tensor]
"""What grouped queries get from the prefix and their slots together."""

Take = Callable[[Pair, int], States]
"""What is done with the new keys and values of a layer."""


@dataclass(frozen=True, slots=True)
class FreshStates:
    """New tokens of prompts, that attend to the prefix (if there is one yet) and to each other."""

    prefix: Pair | None
    keys_BKLD: Tensor
    values_BKLE: Tensor
    reach: int

    def attend(self, query_BQLD: Tensor, scale: float) -> Tensor:
        return attend_fresh(query_BQLD, self.keys_BKLD, self.values_BKLE, self.prefix, scale)


@dataclass(frozen=True, slots=True)
class SlotStates:
    """One new token a sequence, that attends to the prefix and to its slot. join: over both."""

    prefix: Pair
    own: Pair
    join: Join
    reach: int

    def attend(self, query_BQLD: Tensor, scale: float) -> Tensor:
        query_RKGD = by_groups(query_BQLD, self.own[0].shape[1])
        return self.join(query_RKGD, self.prefix, self.own, scale).reshape(*query_BQLD.shape[:3], -1)


def zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """As `like.new_zeros`; on a CPU without touching the memory, of which a short answer uses a part only."""
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    return torch.from_numpy(np.zeros(math.prod(shape) * like.element_size(), np.uint8)).view(like.dtype).view(shape)


class SlotCache(Cache):
    """prefix, own: a pair for each layer, [K, P, D] and [R, K, S, D]. reach: the longest path, in tokens.

    Nothing that it keeps refers back to it: so the slots' memory is free as soon as the engine is gone.
    """

    def __init__(self, reach: int) -> None:
        super().__init__(layers=[])
        self.prefix: list[Pair] = []
        self.own: list[Pair] = []
        self.reach = reach
        self._length = 0
        self._touched = 0  # places that any slot may have used
        self._take: Take = partial(_take_prefix, self.prefix, reach)

    def update(  # type: ignore[override]  # no library attention is to take these for tensors
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[States, States]:
        """Keeps the new states of a layer; gives what its attention is to work with, twice."""
        states = self._take((key_states, value_states), layer_idx)
        return states, states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before the new ones that every sequence has; position ids are always given."""
        return self._length

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """As `get_seq_length`."""
        return self._length

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """The reach in place of the length that a mask would have: `attention.no_mask` checks windows by it."""
        return self.reach, 0

    def keep_prefix(self, tokens: int) -> None:
        """Ends the encoding of the prefix; keeps only its first tokens, none maybe."""
        self.prefix = [
            (keys_KPD[:, :tokens].contiguous(), values_KPE[:, :tokens].contiguous())
            for keys_KPD, values_KPE in self.prefix
        ]
        self._length = tokens

    def slot_bytes(self, room: int) -> int:
        """What a slot of `room` places takes."""
        return sum(state.shape[0] * room * state.shape[2] * state.element_size() for p in self.prefix for state in p)

    def allocate(self, slots: int, room: int) -> None:
        """Makes the slots; zeros, since whatever stands in a hidden place gets multiplied by zero."""

        def make(state_KPD: Tensor) -> Tensor:
            heads, _, width = state_KPD.shape
            return zeros((slots, heads, room, width), state_KPD)

        self.own = [(make(keys_KPD), make(values_KPE)) for keys_KPD, values_KPE in self.prefix]

    def prefill(self, slot_N: Tensor, prompt_N: Tensor, length: int) -> None:
        """The next forward has B rests of prompts, each for the slots that have its number in `prompt_N`.

        length: L, their places in the slots.
        """
        self._touched = max(self._touched, length)
        self._take = partial(_take_rests, self.prefix, self.own, self.reach, slot_N, prompt_N)

    def decode(self, place_R: Tensor, used: int) -> None:
        """The next forward has one token for each of the first R slots. used: places to read, behind the last one."""
        hidden_RU = torch.arange(used, device=place_R.device) > place_R[:, None]
        self._touched = max(self._touched, used)

        def join(query_RKGD: Tensor, prefix: Pair, own: Pair, scale: float) -> Tensor:
            return join_by_matmul(query_RKGD, prefix, own, hidden_RU, scale)

        self._take = partial(_take_step, self.prefix, self.own, self.reach, _rows(place_R), place_R, used, join)

    def decode_all(self, place_R: Tensor, flex: FlexJoin) -> Callable[[], None]:
        """As `decode` for all slots and all forwards to come, by FlexAttention.

        place_R: read anew by every forward. Returns what is to be called before each.
        """
        room = self.own[0][0].shape[2]
        blocks = UsedBlocks(place_R, room)
        self._touched = room

        def join(query_RKGD: Tensor, prefix: Pair, own: Pair, scale: float) -> Tensor:
            return flex(query_RKGD, prefix, own, blocks.mask(query_RKGD.shape[2]), scale)

        take = partial(_take_step, self.prefix, self.own, self.reach, _rows(place_R), place_R, room, join)

        def prepare() -> None:
            blocks.count()
            self._take = take

        return prepare

    def move(self, source_N: Tensor, target_N: Tensor, used: int) -> None:
        """Copies what slots hold in their first places into others."""
        for pair in self.own:
            for own_RKSD in pair:
                own_RKSD[target_N, :, :used] = own_RKSD[source_N, :, :used]
        self._clear(target_N, used)

    def clear(self, slot_N: Tensor) -> None:
        """Makes slots as good as new: what is not finite there would reach the next sequence as 0 * inf."""
        self._clear(slot_N, 0)

    def _clear(self, slot_N: Tensor, start: int) -> None:
        # Values alone: a hidden key's score is replaced, whatever it is, where a hidden value is multiplied by zero.
        if start < self._touched:
            for _, values_RKSE in self.own:
                values_RKSE[slot_N, :, start : self._touched] = 0


def _rows(place_R: Tensor) -> Tensor:
    return torch.arange(len(place_R), device=place_R.device)


def _take_prefix(prefix: list[Pair], reach: int, new: Pair, layer: int) -> States:
    if layer != len(prefix):
        raise NotImplementedError("its layers do not each keep keys and values of their own")
    prefix.append((new[0][0], new[1][0]))
    return FreshStates(None, *new, reach)


def _take_rests(
    prefix: list[Pair], own: list[Pair], reach: int, slot_N: Tensor, prompt_N: Tensor, new: Pair, layer: int
) -> States:
    for state_BKLD, own_RKSD in zip(new, own[layer], strict=True):
        own_RKSD[slot_N, :, : state_BKLD.shape[2]] = state_BKLD[prompt_N]
    return FreshStates(prefix[layer], *new, reach)


def _take_step(
    prefix: list[Pair],
    own: list[Pair],
    reach: int,
    row_R: Tensor,
    place_R: Tensor,
    used: int,
    join: Join,
    new: Pair,
    layer: int,
) -> States:
    rows = len(place_R)
    for state_RK1D, own_RKSD in zip(new, own[layer], strict=True):
        own_RKSD[row_R, :, place_R] = state_RK1D[:, :, 0]
    keys_RKUD, values_RKUE = (own_RKSD[:rows, :, :used] for own_RKSD in own[layer])
    return SlotStates(prefix[layer], (keys_RKUD, values_RKUE), join, reach)
