"""Tiny models and tokenizers, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

LESSON = "Question: How many legs have 2 cats?\nReasoning: A cat has 4 legs. 2 * 4 = 8.\nAnswer: 8\n\n"


def make_tokenizer(specials: tuple[str, ...] = ("<|endoftext|>", "<|pad|>"), **named: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of some 300 tokens, with these special tokens first."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([LESSON] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, **named)


def make_model(vocabulary: int, **changes: Any) -> LlamaForCausalLM:
    """A random Llama of 40 thousand parameters; its logits are far apart, so that rounding decides nothing."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "tie_word_embeddings": True,
        "eos_token_id": 0,
        "bos_token_id": None,
        "pad_token_id": None,
    }
    return LlamaForCausalLM(LlamaConfig(**(shape | changes)))


def save_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Path:
    """As any library would save them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
