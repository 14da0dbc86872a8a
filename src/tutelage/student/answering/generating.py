"""Answers by the library's own `generate`, in batches: for the models that the engine cannot run.

What a prompt gets does not depend on its neighbours in the batch: each sequence has random numbers of its own,
padding is masked, and only rounding differs. Shapes: R sequences, L tokens of a padded prompt, N new
tokens; for an encoder P prompts that differ, S tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutput

from tutelage.student.answering.stopping import AnswerStop, EndRule
from tutelage.student.engine.drawing import Drawing, Sampling, SeededDraw, uniform_numbers
from tutelage.student.engine.scheduler import Request
from tutelage.student.model.student import Student, autocast
from tutelage.student.text.encoding import pad_rows


@torch.inference_mode()
def generate(
    student: Student,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    drawing: Drawing,
    rule: EndRule,
    batch_size: int,
    requests: Sequence[Request],
    done: Callable[[Request, list[int]], None],
) -> None:
    """Sees requests through, a batch after the other. done: called with each one's tokens, up to its end or beyond."""
    for start in range(0, len(requests), batch_size):
        batch = requests[start : start + batch_size]
        for request, new in zip(batch, _batch(student, prompts, seeds, drawing, rule, batch), strict=True):
            done(request, new)


def _batch(
    student: Student,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    drawing: Drawing,
    rule: EndRule,
    batch: Sequence[Request],
) -> list[list[int]]:
    begun = _encoded if student.is_encoder_decoder else _left_padded
    token_RL, inputs, length = begun(student, [prompts[request.prompt] for request in batch])
    stop = AnswerStop(rule, length, len(batch))
    draws = []
    if isinstance(drawing, Sampling):
        keys = [(seeds[request.prompt], request.sample) for request in batch]
        uniform_RN = uniform_numbers(keys, drawing.max_new_tokens).to(student.device)
        draws = [SeededDraw(drawing, uniform_RN, length)]
    settings = GenerationConfig(
        max_new_tokens=drawing.max_new_tokens,
        do_sample=False,
        eos_token_id=list(student.stop_ids),
        pad_token_id=student.pad_id,
    )
    model: Any = student.model
    with autocast(student.device):
        sequence_RL = model.generate(
            token_RL,
            **inputs,
            generation_config=settings,
            logits_processor=LogitsProcessorList(draws),
            stopping_criteria=StoppingCriteriaList([stop]),
        )
    new_RN: list[list[int]] = sequence_RL[:, length:].tolist()
    return [new[: end or None] for new, end in zip(new_RN, stop.lengths_R, strict=True)]


def _left_padded(student: Student, rows: Sequence[Sequence[int]]) -> tuple[Tensor | None, dict[str, Any], int]:
    """What `generate` goes on from, what belongs to it, and how many tokens are no new ones."""
    length = max(map(len, rows))
    token_RL = torch.tensor([[student.pad_id] * (length - len(row)) + list(row) for row in rows])
    attention_RL = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    return token_RL.to(student.device), {"attention_mask": attention_RL.to(student.device)}, length


def _encoded(student: Student, rows: Sequence[Sequence[int]]) -> tuple[Tensor | None, dict[str, Any], int]:
    """The same for an encoder-decoder student. A prompt that has several samples goes through the encoder once."""
    place = {prompt: number for number, prompt in enumerate(dict.fromkeys(map(tuple, rows)))}
    token_PS, attention_PS = (column.to(student.device) for column in pad_rows(list(place), student.pad_id))
    encoder: Any = student.model.get_encoder()
    with autocast(student.device):
        encoded_PSD = encoder(input_ids=token_PS, attention_mask=attention_PS).last_hidden_state
    prompt_R = torch.tensor([place[tuple(row)] for row in rows], device=student.device)
    start = student.decoder_start
    inputs = {
        "encoder_outputs": BaseModelOutput(last_hidden_state=encoded_PSD[prompt_R]),
        "attention_mask": attention_PS[prompt_R],
        "decoder_input_ids": torch.tensor([start] * len(rows), device=student.device),
    }
    return None, inputs, len(start)
