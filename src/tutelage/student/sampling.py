"""Answers from the student: sampled for an exam, greedy for an evaluation, in batches.

Built on the library's `generate`. What a prompt gets does not depend on its neighbours in the batch: each
sequence has random numbers of its own, padding is masked, and only rounding differs.

Shapes: R sequences, L tokens of a padded prompt, N new tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from tutelage.errors import StudentError
from tutelage.student.drawing import Sampling, SeededDraw, uniform_numbers
from tutelage.student.model import Student, autocast
from tutelage.student.prefixes import lay_out, prefill
from tutelage.student.stopping import AnswerStop, Complete, answer_end, decode

__all__ = [
    "Complete",
    "Completion",
    "Sampling",
    "answer_end",
    "encode_prompt",
    "greedy_batch",
    "plan_batches",
    "render_chat",
    "sample_batch",
]


@dataclass(frozen=True, slots=True)
class Completion:
    """What was generated after a prompt.

    text: up to the end of the complete answer. tokens: new tokens, up to and with the one that ended it.
    finished: False when the limit on new tokens cut it off.
    """

    text: str
    tokens: int
    finished: bool


def plan_batches(student: Student, prompts: Sequence[str], size: int) -> list[list[int]]:
    """The prompts' indices in batches of `size` prompts of similar length, the longest first.

    It follows from the prompts, the tokenizer and `size` alone, so a resumed run finds the same batches. The longest
    come first: a prompt that is too long for the model, or a batch for the memory, shows at once.
    Raises: StudentError if a prompt is empty.
    """
    lengths = [len(encode_prompt(student, prompt)) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda index: -lengths[index])
    return [order[start : start + size] for start in range(0, len(order), size)]


def sample_batch(
    student: Student,
    prompts: Sequence[str],
    samples: int,
    sampling: Sampling,
    seeds: Sequence[int],
    complete: Complete | None = answer_end,
) -> list[list[Completion]]:
    """`samples` sampled completions of each prompt, in one batch of len(prompts) * samples sequences.

    seeds: one a prompt, not negative; sample i of a prompt depends on the prompt, its seed and i only.
    complete: ends an answer before its end token; None leaves that to end tokens and the limit.
    Raises: StudentError if a prompt is empty, or too long for the model's context.
    """
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")
    uniform_RN = uniform_numbers(seeds, samples, sampling.max_new_tokens).to(student.device)
    flat = _generate(student, prompts, samples, sampling.max_new_tokens, complete, (sampling, uniform_RN))
    return [flat[start : start + samples] for start in range(0, len(flat), samples)]


def greedy_batch(
    student: Student, prompts: Sequence[str], max_new_tokens: int, complete: Complete | None = answer_end
) -> list[Completion]:
    """The greedy completion of each prompt, in one batch. complete, Raises: as for `sample_batch`."""
    return _generate(student, prompts, 1, max_new_tokens, complete, None)


def encode_prompt(student: Student, prompt: str) -> list[int]:
    """A prompt's tokens, tokenised whole, with the beginning-of-text tokens unless it already starts with them.

    Raises: StudentError if there are none.
    """
    token_ids: list[int] = student.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    begun = tuple(token_ids[: len(student.bos)]) == student.bos
    token_ids = token_ids if begun else [*student.bos, *token_ids]
    if not token_ids:
        raise StudentError("A prompt is empty: there is nothing to continue. Give it a question.")
    return token_ids


def render_chat(student: Student, messages: Sequence[tuple[str, str]]) -> str:
    """Chat messages (role, content) as the prompt that the model's chat template makes of them.

    A template that takes no system message gets its text at the head of the first user message.
    Raises: StudentError if the model has no chat template, or one that refuses the messages nevertheless.
    """
    if not student.tokenizer.chat_template:
        raise StudentError(
            f"{student.model.config.name_or_path or 'The model'} has no chat template. "
            'Take a chat-tuned model, or the endpoint "completion".'
        )
    try:
        return _apply_template(student, messages)
    except TemplateError:  # Gemma 2 and early Mistral raise it at a system message
        with contextlib.suppress(TemplateError):
            return _apply_template(student, _without_system(messages))
        raise StudentError(
            f"The chat template of {student.model.config.name_or_path or 'the model'} refuses the messages "
            f'({", ".join(role for role, _ in messages)}). Take another model, or the endpoint "completion".'
        ) from None


def _apply_template(student: Student, messages: Sequence[tuple[str, str]]) -> str:
    conversation = [{"role": role, "content": content} for role, content in messages]
    return str(student.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))


def _without_system(messages: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The messages with all system text before that of the first user message."""
    system = [content for role, content in messages if role == "system"]
    others = [(role, content) for role, content in messages if role != "system"]
    first = next((place for place, (role, _) in enumerate(others) if role == "user"), None)
    if first is not None:
        others[first] = ("user", "\n\n".join([*system, others[first][1]]))
    return others


@torch.inference_mode()
def _generate(
    student: Student,
    prompts: Sequence[str],
    samples: int,
    max_new_tokens: int,
    complete: Complete | None,
    drawing: tuple[Sampling, torch.Tensor] | None,
) -> list[Completion]:
    """The completions of all samples of all prompts; greedy ones without `drawing`."""
    if not prompts:
        return []
    encoded = [encode_prompt(student, prompt) for prompt in prompts]
    _check_lengths(student, max(map(len, encoded)), max_new_tokens)
    with _evaluating(student), autocast(student.device):
        layout = lay_out(encoded, student.pad_id, student.device)
        cache = prefill(student, layout, samples, room=max_new_tokens)
        if cache is None:
            layout = lay_out(encoded, student.pad_id, student.device, share=False)
        token_RL, attention_RL = layout.repeat(samples)
        length = token_RL.shape[1]
        stops = [] if complete is None else [AnswerStop(student.tokenizer, complete, length, len(token_RL))]
        draws = [] if drawing is None else [SeededDraw(*drawing, length)]
        settings = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=list(student.stop_ids),
            pad_token_id=student.pad_id,
        )
        model: Any = student.model
        sequence_RL = model.generate(
            token_RL,
            attention_mask=attention_RL,
            past_key_values=cache,
            generation_config=settings,
            logits_processor=LogitsProcessorList(draws),
            stopping_criteria=StoppingCriteriaList(stops),
        )
    new_RN: list[list[int]] = sequence_RL[:, length:].tolist()
    lengths_R = stops[0].lengths_R if stops else [0] * len(new_RN)
    return [_completion(student, new, stop, complete) for new, stop in zip(new_RN, lengths_R, strict=True)]


def _check_lengths(student: Student, longest: int, max_new_tokens: int) -> None:
    limit = student.context
    if limit is not None and longest + max_new_tokens > limit:
        raise StudentError(
            f"A prompt of {longest} tokens and {max_new_tokens} new ones do not fit the model's context of {limit} "
            "tokens. Take fewer demonstrations (prompt.count) or a smaller max_new_tokens."
        )


@contextlib.contextmanager
def _evaluating(student: Student) -> Iterator[None]:
    """Without dropout, and back to training afterwards if that was the mode."""
    was_training = student.model.training
    student.model.eval()
    try:
        yield
    finally:
        student.model.train(was_training)


def _completion(student: Student, new: list[int], stopped: int, complete: Complete | None) -> Completion:
    """new: a row of what was generated, filled up behind its end. stopped: where AnswerStop ended it, or 0."""
    new = new[: stopped or None]
    end = next((place for place, token in enumerate(new, start=1) if token in student.stop_ids), None)
    text = decode(student.tokenizer, new if end is None else new[: end - 1])
    kept = None if complete is None else complete(text)
    return Completion(text[:kept], end or len(new), finished=end is not None or kept is not None)
