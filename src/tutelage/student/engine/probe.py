"""Whether a model can be run by the engine, found out by trying it and never by its name."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tutelage.student.engine.attention import slots_attention
from tutelage.student.engine.decoder import EagerDecoder
from tutelage.student.engine.scheduler import Request

_STEPS = 3
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Relative error of logits that rounding may come to; a mask or a position that is wrong gives about 1."""
_LOW_PRECISION_TOLERANCE = 0.1

_proven: WeakKeyDictionary[PreTrainedModel, set[Any]] = WeakKeyDictionary()


def check(
    student: PreTrainedModel, model: PreTrainedModel, decoder: EagerDecoder, prompts: Sequence[Sequence[int]]
) -> None:
    """Compares the logits of a few decode steps, run as all are run, with those of the model's plain forward.

    Once for a student and a way of decoding. student: whom it is about. model: what runs in the decoder, the student
    or a copy of it; its slots are empty, and empty again afterwards. prompts: those of the decoder; the longest and
    the shortest are tried.
    Raises: NotImplementedError if the logits differ, and whatever the model raises.
    """
    way = decoder.way, model.dtype
    if way in _proven.get(student, ()):
        return
    order = sorted(range(len(prompts)), key=lambda prompt: len(prompts[prompt]))
    tried = [order[-1], *order[:1]][: min(2, decoder.slots, len(prompts))]
    with slots_attention(model):
        logits_XSV, token_SX = _by_engine(decoder, tried)
    tolerance = _TOLERANCE.get(model.dtype, _LOW_PRECISION_TOLERANCE)
    for row, prompt in enumerate(tried):
        made = [tokens[row] for tokens in token_SX]
        error = relative_error(logits_XSV[row], _plain(model, [*prompts[prompt], *made[:-1]], len(made)))
        if not error < tolerance:  # not a number is no agreement
            raise NotImplementedError(f"its logits come out otherwise (relative error {error:.2g})")
    _proven.setdefault(student, set()).add(way)


def relative_error(logits_SV: Tensor, expected_SV: Tensor) -> float:
    """The difference's size as a part of what tells the tokens apart; what is the same for all tokens tells nothing."""
    logits_SV, expected_SV = (
        logits.float() - logits.float().mean(-1, keepdim=True) for logits in (logits_SV, expected_SV)
    )
    return float(((logits_SV - expected_SV).norm(dim=-1) / expected_SV.norm(dim=-1)).max())


def _by_engine(decoder: EagerDecoder, tried: Sequence[int]) -> tuple[Tensor, list[list[int]]]:
    """The logits of so many steps, [prompts, steps, V], and the tokens chosen by them, [steps][prompts]."""
    rows = len(tried)
    decoder.enter([(slot, Request(prompt, 0)) for slot, prompt in enumerate(tried)])
    logits, tokens = [], []
    for _ in range(min(_STEPS, decoder.work.drawing.max_new_tokens)):
        logits.append(decoder.step(rows)[:rows].clone())
        tokens.append(decoder.newest(rows))
    decoder.reset()
    return torch.stack(logits, 1), tokens


def _plain(model: PreTrainedModel, tokens: list[int], steps: int) -> Tensor:
    """The logits of the last positions by the model's own forward, [steps, V]."""
    arguments: dict[str, Any] = {"use_cache": False}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        arguments["logits_to_keep"] = steps
    token_1T = torch.tensor([tokens], device=model.device)
    logits_SV: Tensor = model(input_ids=token_1T, **arguments).logits[0, -steps:]
    return logits_SV
