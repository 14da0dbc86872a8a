"""Every family of decoders goes the whole way: loaded, examined, taught, saved, and loaded by plain transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from tests.student.engine.families import ENGINE, GEMMA, LIBRARY, LLAMA, build
from tests.student.packed.architectures import make_lesson
from tests.tiny import make_tokenizer, save_model
from tutelage.config import StudySettings
from tutelage.student.answering.answerer import sample_batch
from tutelage.student.engine.drawing import Sampling
from tutelage.student.model.student import load_student, save_student
from tutelage.student.training.stepping import StudyStep

FAMILIES: dict[str, Callable[[int], PreTrainedConfig]] = {
    "GPT-2": ENGINE["gpt 2"],
    "GPT-Neo": LIBRARY["gpt neo"][0],
    "GPT-J": LIBRARY["gpt j"][0],
    "OPT": ENGINE["opt"],
    "Qwen2": ENGINE["qwen 2"],
    "Qwen3": lambda v: Qwen3Config(vocab_size=v, **GEMMA),
    "Gemma": lambda v: GemmaConfig(vocab_size=v, **GEMMA),
    "Gemma 2": lambda v: Gemma2Config(vocab_size=v, **GEMMA, sliding_window=16),
    "Gemma 3": lambda v: Gemma3TextConfig(vocab_size=v, **GEMMA, sliding_window=16),
    "Phi": lambda v: PhiConfig(vocab_size=v, **LLAMA),
    "Phi-3": lambda v: Phi3Config(vocab_size=v, **LLAMA, pad_token_id=1),
}
"""As configured, dropout included."""

PROMPTS = ["Question: Two?", "Question: Three and one?\nReasoning:"]


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES.keys())
def test_a_family_goes_the_whole_way(make: Callable[[int], PreTrainedConfig], tmp_path: Path) -> None:
    tokenizer = make_tokenizer(eos_token="<|endoftext|>", pad_token="<|pad|>")
    config = make(len(tokenizer))
    config.eos_token_id = 0
    student = load_student(str(save_model(tmp_path / "own", build(config), tokenizer)), device="cpu")
    answers = sample_batch(student, PROMPTS, 2, Sampling(1.0, 50, None, 6), [1, 2])
    assert [[0 < one.tokens <= 6 for one in each] for each in answers] == [[True, True], [True, True]]
    before = [parameter.detach().clone() for parameter in student.model.parameters()]
    with StudyStep(student, StudySettings(batch_size=5), 1e-3) as step:
        losses = step.take(step.prepare(make_lesson(student)), 1e-3).losses()
    assert losses.language_model > 0 < losses.triplet
    moved = [not torch.equal(old, new) for old, new in zip(before, student.model.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2
    save_student(student, tmp_path / "taught")
    plain: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "taught")
    token_BT = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        assert torch.equal(plain(token_BT).logits, student.model(token_BT).logits)
    assert plain.generation_config.eos_token_id == list(student.stop_ids) == [0]
