"""Tiny random models of several architectures, without dropout; float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.tiny import make_model, make_tokenizer
from tutelage.student.loss.separate import LessonSample
from tutelage.student.model.student import Student
from tutelage.student.text.encoding import encode_sample

VOCABULARY = 320
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": None,
}
GROUPED = SHAPE | {"num_key_value_heads": 2}
GEMMA = GROUPED | {"head_dim": 8, "sliding_window": 8}
GPT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 512,
    "initializer_range": 0.3,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "bos_token_id": None,
    "eos_token_id": 0,
}

PACKED: dict[str, Callable[[], PreTrainedModel]] = {
    "Llama": lambda: make_model(VOCABULARY),
    "Qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**GROUPED)),
    "Qwen2, a window in its upper layer": lambda: Qwen2ForCausalLM(
        Qwen2Config(**GROUPED, use_sliding_window=True, sliding_window=8, max_window_layers=1)
    ),
    "Mistral, a window in all layers": lambda: MistralForCausalLM(MistralConfig(**GROUPED, sliding_window=8)),
    "GPT-NeoX": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE)),
    "GPT-2, learned positions": lambda: GPT2LMHeadModel(GPT2Config(**GPT)),
    "OPT, learned positions": lambda: OPTForCausalLM(
        OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            word_embed_proj_dim=32,
            ffn_dim=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
            init_std=0.3,
            dropout=0.0,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=1,
        )
    ),
    "Gemma 2, capped scores and logits": lambda: Gemma2ForCausalLM(Gemma2Config(**GEMMA)),
    "Gemma 3, a window in every other layer": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**GEMMA, layer_types=["sliding_attention", "full_attention"])
    ),
    "Granite, scaled logits": lambda: GraniteForCausalLM(GraniteConfig(**GROUPED, logits_scaling=8.0)),
    "Phi, a head with a bias": lambda: PhiForCausalLM(PhiConfig(**SHAPE)),
}
"""Those that take a tree mask."""


def _gpt_neo(layers: str, window: int) -> PreTrainedModel:
    shape = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "initializer_range": 0.3}
    special = {"bos_token_id": None, "eos_token_id": 0, "max_position_embeddings": 512, "window_size": window}
    return GPTNeoForCausalLM(GPTNeoConfig(**shape, **special, attention_types=[[["global", layers], 1]]))  # type: ignore[arg-type]


OWN_ATTENTION: dict[str, Callable[[], PreTrainedModel]] = {
    "GPT-J": lambda: GPTJForCausalLM(GPTJConfig(**GPT, rotary_dim=4)),
    "GPT-Neo, global layers": lambda: _gpt_neo("global", 8),
}
"""Those that keep an attention of their own, which adds the tree mask to its scores."""

SEPARATE: dict[str, Callable[[], PreTrainedModel]] = {
    "GPT-Neo, a local layer": lambda: _gpt_neo("local", 256),
    "Bloom, slopes for positions": lambda: BloomForCausalLM(
        BloomConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            n_layer=2,
            n_head=4,
            initializer_range=0.3,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            bos_token_id=None,
            eos_token_id=0,
        )
    ),
}
"""Those that take none."""


def make_student(make: Callable[[], PreTrainedModel]) -> Student:
    """A student with the tiny tokenizer and a model of some architecture."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(eos_token="<|endoftext|>", pad_token="<|pad|>")
    return Student(make().eval(), tokenizer, torch.device("cpu"), pad_id=1, eos_id=0, bos=(), stop_ids=(0,))


DEMONSTRATIONS = "Question: Two and two?\nReasoning: 2 + 2 = 4.\nAnswer: 4\n\n"
TRIPLES = [
    ("Three and one?", "3 + 1 = 4.\nAnswer: 4", "One more than 3 is 4.\nAnswer: 4", "3 + 1 = 5.\nAnswer: 5"),
    ("Two cows?", "A cow has 4 legs. 2 * 4 = 8.\nAnswer: 8", "8.\nAnswer: 8", "2 + 4 = 6.\nAnswer: 6"),
    ("Six and six?", "6 + 6 = 12.\nAnswer: 12", "12.\nAnswer: 12", None),
    ("Nine?", "It is 9.\nAnswer: 9", None, "It is 8.\nAnswer: 8"),
    ("Six and seven is how much?", "6 + 7 = 13.\nAnswer: 13", "13.\nAnswer: 13", "6 + 7 = 12.\nAnswer: 12"),
]


def make_lesson(student: Student, demonstrations: str = DEMONSTRATIONS) -> list[LessonSample]:
    """Three whole triplets, one without a negative, one without a positive, of different lengths."""

    def encode(question: str, solution: str | None):  # type: ignore[no-untyped-def]
        if solution is None:
            return None
        return encode_sample(student, demonstrations, f"Question: {question}\nReasoning:", f" {solution}", 0.1)

    return [LessonSample(question, *(encode(question, text) for text in texts)) for question, *texts in TRIPLES]
