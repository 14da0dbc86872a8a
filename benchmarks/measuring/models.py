"""The students of the benchmarks: SmolLM2's and GPT-J's shapes with random weights, or any that Tutelage loads."""

from __future__ import annotations

import math
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers import models as token_models
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    GPTJConfig,
    GPTJForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tutelage.student.model.student import Student, load_student

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 320,
    },
    "135M": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
    "1.7B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 49152,
    },
}
"""SmolLM2-135M and SmolLM2-1.7B as their config.json states them; tiny is for tests."""

GPT_J_SHAPES: dict[str, dict[str, int]] = {
    "GPT-J-tiny": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "vocab_size": 320},
    "GPT-J-6B": {"n_embd": 4096, "n_layer": 28, "n_head": 16, "rotary_dim": 64, "vocab_size": 50400},
}
"""GPT-J-6B as its config.json states it, the paper's largest student; it takes no tree mask."""

EOS, PAD = 0, 1
FIRST_WORD = 2
"""The first token id of a random model that is no special token."""


def is_random(name: str) -> bool:
    """Whether the name stands for random weights of a shape."""
    return name in SHAPES or name in GPT_J_SHAPES


def load_model(name: str, device: str) -> Student:
    """A student by the name of a shape, or whatever `load_student` takes: hub id, folder, .gguf file, package.

    Weights are float32, as Tutelage trains them.
    """
    if not is_random(name):
        return load_student(name, device=device)
    place = torch.device(device)
    torch.manual_seed(0)
    with place:
        model: PreTrainedModel = (
            LlamaForCausalLM(llama_config(name)) if name in SHAPES else GPTJForCausalLM(gpt_j_config(name))
        )
    model.eval()
    return Student(model, word_tokenizer(model.config.vocab_size), place, PAD, EOS, (), (EOS,))


def llama_config(name: str) -> LlamaConfig:
    """The configuration of a shape, SmolLM2's beyond its sizes."""
    shape: dict[str, Any] = {
        **SHAPES[name],
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-5,
        "initializer_range": 1 / math.sqrt(SHAPES[name]["hidden_size"]),
        "bos_token_id": None,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
    }
    return LlamaConfig(**shape)


def gpt_j_config(name: str) -> GPTJConfig:
    """The configuration of a shape, GPT-J's beyond its sizes."""
    shape: dict[str, Any] = {
        **GPT_J_SHAPES[name],
        "n_positions": 2048,
        "tie_word_embeddings": False,
        "initializer_range": 1 / math.sqrt(GPT_J_SHAPES[name]["n_embd"]),
        "bos_token_id": None,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
    }
    return GPTJConfig(**shape)


def word_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Stands in where weights are random: token i is the word "w<i>", so a text has just the tokens one wants."""
    vocabulary_ids = {"<eos>": EOS, "<pad>": PAD} | {f"w{token}": token for token in range(FIRST_WORD, vocabulary)}
    inner = Tokenizer(token_models.WordLevel(vocabulary_ids, unk_token="<pad>"))
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>")


def words(tokens: list[int]) -> str:
    """The text that `word_tokenizer` reads as these tokens."""
    return " ".join(f"w{token}" for token in tokens)
