"""Answers by the library's own `generate`, in batches: for the models that the engine cannot run.

What a prompt gets does not depend on its neighbours in the batch: each sequence has random numbers of its own,
padding is masked, and only rounding differs. Shapes: R sequences, L tokens of a padded prompt, N new tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from tutelage.student.drawing import Drawing, Sampling, SeededDraw, uniform_numbers
from tutelage.student.engine.scheduler import Request
from tutelage.student.model import Student, autocast
from tutelage.student.stopping import AnswerStop, EndRule


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
    rows = [prompts[request.prompt] for request in batch]
    length = max(map(len, rows))
    token_RL = torch.tensor([[student.pad_id] * (length - len(row)) + list(row) for row in rows])
    attention_RL = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    stop = AnswerStop(rule, length, len(rows))
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
            token_RL.to(student.device),
            attention_mask=attention_RL.to(student.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList(draws),
            stopping_criteria=StoppingCriteriaList([stop]),
        )
    new_RN: list[list[int]] = sequence_RL[:, length:].tolist()
    return [new[: end or None] for new, end in zip(new_RN, stop.lengths_R, strict=True)]
