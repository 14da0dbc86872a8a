"""Random models of many families, small enough to answer in no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    DeepseekV3Config,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3MoeConfig,
)

Shape = dict[str, Any]


def _gpt(width: str, layers: str, heads: str, places: str) -> Shape:
    return {width: 32, layers: 2, heads: 4, places: 512, "initializer_range": 0.3}


LLAMA: Shape = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "max_position_embeddings": 512,
}
NEOX = _gpt("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
GEMMA = LLAMA | {"head_dim": 8}
OPT = (NEOX | {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.3}).items() - {("initializer_range", 0.3)}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
OSS = {"num_local_experts": 2, "num_experts_per_tok": 1}
NARROW: Shape = {"q_lora_rank": None, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8}
DEEPSEEK = LLAMA | NARROW | {"num_key_value_heads": 4, "v_head_dim": 6, "first_k_dense_replace": 2}
LOCAL: Shape = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 16}

ENGINE: dict[str, Callable[[int], PreTrainedConfig]] = {
    "llama": lambda v: LlamaConfig(vocab_size=v, **LLAMA),
    "three queries a key": lambda v: LlamaConfig(vocab_size=v, **LLAMA | {"num_attention_heads": 6, "hidden_size": 48}),
    "qwen 2": lambda v: Qwen2Config(vocab_size=v, **LLAMA),
    "experts": lambda v: Qwen3MoeConfig(vocab_size=v, **GEMMA | EXPERTS),
    "gpt 2": lambda v: GPT2Config(vocab_size=v, **_gpt("n_embd", "n_layer", "n_head", "n_positions")),
    "gpt neox": lambda v: GPTNeoXConfig(vocab_size=v, intermediate_size=64, **NEOX),
    "opt": lambda v: OPTConfig(vocab_size=v, **dict(OPT)),
    "wide window": lambda v: MistralConfig(vocab_size=v, **LLAMA, sliding_window=512),
    "gemma 3, wide window": lambda v: Gemma3TextConfig(vocab_size=v, **GEMMA, sliding_window=512),
}
"""Those that the engine is to run."""

LIBRARY: dict[str, tuple[Callable[[int], PreTrainedConfig], str]] = {
    "softcap": (lambda v: Gemma2Config(vocab_size=v, **GEMMA, sliding_window=512), "softcap"),
    "gemma 3": (lambda v: Gemma3TextConfig(vocab_size=v, **GEMMA, sliding_window=16), "window of 16"),
    "mistral": (lambda v: MistralConfig(vocab_size=v, **LLAMA, sliding_window=16), "window of 16"),
    "sinks": (lambda v: GptOssConfig(vocab_size=v, **GEMMA | OSS), "s_aux"),
    "gpt j": (
        lambda v: GPTJConfig(vocab_size=v, rotary_dim=4, **_gpt("n_embd", "n_layer", "n_head", "n_positions")),
        "FreshStates",
    ),
    "gpt neo": (
        lambda v: GPTNeoConfig(
            vocab_size=v, hidden_size=32, max_position_embeddings=512, initializer_range=0.3, **LOCAL
        ),
        "FreshStates",
    ),
    "alibi": (lambda v: BloomConfig(vocab_size=v, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3), "Fresh"),
    "latent": (lambda v: DeepseekV3Config(vocab_size=v, **DEEPSEEK), "FreshStates"),
    "recurrent": (
        lambda v: MambaConfig(vocab_size=v, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.3),
        "no keys and values",
    ),
}
"""Those that it cannot run, and a word of why."""


def build(config: PreTrainedConfig) -> PreTrainedModel:
    """The random model, the same each time."""
    torch.manual_seed(1)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.eval()
    return model
