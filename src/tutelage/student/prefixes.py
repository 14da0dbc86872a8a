"""What the prompts of a batch share is encoded once: the demonstrations, and a prompt for all its samples.

A batch of prompts is laid out as [shared prefix, padding, rest of the prompt]: the padding is masked, and
position ids count along each prompt. Split at tokens, never at text (a cut text merges its tokens differently).

Shapes: B prompts, R = B * samples sequences, L tokens of a padded prompt, P of the shared prefix,
H key-value heads, D a head's dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tutelage.student.model import Student


@dataclass(frozen=True, slots=True)
class Layout:
    """Prompts padded to one length behind their shared prefix. token_BL, attention_BL: int64."""

    token_BL: Tensor
    attention_BL: Tensor
    shared: int

    def repeat(self, samples: int) -> tuple[Tensor, Tensor]:
        """token_RL, attention_RL: the samples of a prompt stand together."""
        return self.token_BL.repeat_interleave(samples, 0), self.attention_BL.repeat_interleave(samples, 0)


def lay_out(prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device, share: bool = True) -> Layout:
    """share: whether the padding stands behind the shared prefix, or else before the prompts."""
    shared = shared_prefix(prompts) if share else 0
    length = max(len(prompt) for prompt in prompts)
    rows, masks = [], []
    for prompt in prompts:
        padding = length - len(prompt)
        rows.append([*prompt[:shared], *[pad_id] * padding, *prompt[shared:]])
        masks.append([1] * shared + [0] * padding + [1] * (len(prompt) - shared))
    return Layout(torch.tensor(rows, device=device), torch.tensor(masks, device=device), shared)


def shared_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """The tokens that all prompts begin with; one at least is left to each, since generation starts from it."""
    rows = [list(prompt) for prompt in prompts]
    low, high = min(rows), max(rows)  # what these two share, all between them do
    shared = next((place for place, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))
    return min(shared, min(map(len, rows)) - 1)


def prefill(student: Student, layout: Layout, samples: int, room: int) -> DynamicCache | None:
    """Keys and values of all but the last token of each prompt, for R sequences, with room for what comes.

    room: new tokens a sequence. None if the model's cache cannot be shared out so: recurrent states, sliding windows
    (padding inside a prompt would move the window), or no shared prefix to begin with.
    """
    if layout.shared == 0:
        return None
    cache = _encode(student, layout.token_BL[:1, : layout.shared], None, None)
    if cache is None:
        return None
    prompts, length = layout.token_BL.shape
    cache.batch_repeat_interleave(prompts)
    if length - 1 > layout.shared:
        rest = slice(layout.shared, length - 1)
        position_BL = (layout.attention_BL.cumsum(-1) - 1).clamp(min=0)
        cache = _encode(student, layout.token_BL[:, rest], layout.attention_BL[:, :-1], cache, position_BL[:, rest])
    if cache is not None:
        states = [(layer.keys, layer.values) for layer in cache.layers if isinstance(layer, DynamicLayer)]
        cache.layers = [
            RoomyLayer(keys, values, samples, room)
            for keys, values in states
            if keys is not None and values is not None
        ]
    return cache


def _encode(
    student: Student,
    token_BL: Tensor,
    attention_BL: Tensor | None,
    cache: DynamicCache | None,
    position_BL: Tensor | None = None,
) -> DynamicCache | None:
    """The cache after these tokens, None if it is of a kind that cannot be repeated and padded freely."""
    arguments: dict[str, Any] = {"attention_mask": attention_BL, "past_key_values": cache}
    if position_BL is not None:
        arguments["position_ids"] = position_BL
    # The base model: nobody reads the logits of a prompt.
    output = student.model.base_model(input_ids=token_BL, use_cache=True, **arguments)
    after = getattr(output, "past_key_values", None)
    if type(after) is not DynamicCache or any(type(layer) is not DynamicLayer for layer in after.layers):
        return None
    return after


class RoomyLayer(DynamicLayer):
    """A cache layer with memory set aside for the new tokens; keys, values: views of it, [R, H, L, D].

    The library's layer copies everything at every step: on 2 CPU cores, 128 sequences behind 328 shared tokens gave
    30 new tokens a second with it and 208 with this one.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, keys_BHLD: Tensor, values_BHLD: Tensor, samples: int, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys_BHLD, values_BHLD)
        self._length = keys_BHLD.shape[-2]
        self._all_keys = self._spread(keys_BHLD, samples, room)
        self._all_values = self._spread(values_BHLD, samples, room)
        self._show()

    def _spread(self, state_BHLD: Tensor, samples: int, room: int) -> Tensor:
        prompts, heads, length, width = state_BHLD.shape
        state_RHLD = state_BHLD.new_empty(prompts * samples, heads, length + room, width)
        # Broadcast straight into place: no second copy of the repeated prompts.
        state_RHLD.view(prompts, samples, heads, -1, width)[..., :length, :] = state_BHLD[:, None]
        return state_RHLD

    def _show(self) -> None:
        self.keys = self._all_keys[..., : self._length, :]
        self.values = self._all_values[..., : self._length, :]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Appends the states of new tokens; gives all keys and values so far."""
        end = self._length + key_states.shape[-2]
        self._all_keys[..., self._length : end, :] = key_states
        self._all_values[..., self._length : end, :] = value_states
        self._length = end
        self._show()
        return self.keys, self.values
