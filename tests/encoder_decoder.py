"""Tiny random encoder-decoder models of several architectures, without dropout, and the tokenizer of a T5."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MBartConfig,
    MBartForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from tests.tiny import save_model
from tutelage.student.model import Student, load_student

WORDS = "Question Reasoning Answer A cat cow has have legs How many pens gets more and there are is The So"
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.,?!*+=-()$%'"


def make_t5_tokenizer(sentinels: int = 4) -> T5Tokenizer:
    """Like a T5's: padding first, which its decoder starts with, then "</s>"; no line end in it, as in SentencePiece."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in WORDS.split()]
    pieces += [(character, -5.0) for character in CHARACTERS]
    pieces += [(f"<extra_id_{number}>", 0.0) for number in reversed(range(sentinels))]
    return T5Tokenizer(vocab=pieces, extra_ids=sentinels)


VOCABULARY = len(make_t5_tokenizer())
T5: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "dropout_rate": 0.0,
    "initializer_factor": 0.5,
    "decoder_start_token_id": 0,
}
BART: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 256,
    "dropout": 0.0,
    "init_std": 0.3,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}


def _flan_t5() -> PreTrainedModel:
    model = T5ForConditionalGeneration(T5Config(**T5, tie_word_embeddings=False, feed_forward_proj="gated-gelu"))
    # As in its files; the library ties a new one whatever the configuration says.
    model.lm_head.weight = torch.nn.Parameter(torch.randn(VOCABULARY, 32) * 0.5)
    return model


def _bart() -> PreTrainedModel:
    model = BartForConditionalGeneration(BartConfig(**BART))
    model.final_logits_bias.normal_()
    return model


MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "T5, tied": lambda: T5ForConditionalGeneration(T5Config(**T5)),
    "Flan-T5, gated and untied": _flan_t5,
    "mT5": lambda: MT5ForConditionalGeneration(MT5Config(**T5, tie_word_embeddings=False)),
    "BART, learned positions and a bias": _bart,
    "mBART": lambda: MBartForConditionalGeneration(MBartConfig(**BART)),
}


def save_seq2seq(folder: Path, name: str = "T5, tied") -> Path:
    """As any library would save it with its tokenizer."""
    torch.manual_seed(0)
    return save_model(folder, MODELS[name](), make_t5_tokenizer())  # type: ignore[arg-type]


def load_seq2seq(folder: Path, name: str = "T5, tied") -> Student:
    """A student of its own, loaded from files."""
    return load_student(str(save_seq2seq(folder, name)), device="cpu")
