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
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from tests.tiny import save_model
from tutelage.student.model.student import Student, load_student

WORDS = "Question Reasoning Answer A cat cow has have legs How many pens gets more and there are is The So"
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.,?!*+=-()$%'"


def make_t5_tokenizer(sentinels: int = 4) -> T5Tokenizer:
    """As a T5's: first the padding, which its decoder starts with, then "</s>"; white space of all kinds is one."""
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
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}


def _drawn(model: PreTrainedModel) -> PreTrainedModel:
    """With weights so large that every token of the encoder shows in what the decoder says."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


def _flan_t5() -> PreTrainedModel:
    config = T5 | {"tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"}
    model = T5ForConditionalGeneration(T5Config(**config))
    # A head of its own, as in its files; the library ties a new model's, whatever the configuration says.
    model.lm_head.weight = torch.nn.Parameter(torch.empty(VOCABULARY, 32))
    return _drawn(model)


def _bart() -> PreTrainedModel:
    model = BartForConditionalGeneration(BartConfig(**BART))
    model.final_logits_bias.normal_()
    return _drawn(model)


MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "T5, tied": lambda: _drawn(T5ForConditionalGeneration(T5Config(**T5))),
    "Flan-T5, gated and untied": _flan_t5,
    "BART, learned positions and a bias": _bart,
    "mBART": lambda: _drawn(MBartForConditionalGeneration(MBartConfig(**BART))),
}


def save_seq2seq(folder: Path, name: str = "T5, tied") -> Path:
    """As any library would save it with its tokenizer."""
    torch.manual_seed(0)
    return save_model(folder, MODELS[name](), make_t5_tokenizer())


def load_seq2seq(folder: Path, name: str = "T5, tied") -> Student:
    """A student of its own, loaded from files."""
    return load_student(str(save_seq2seq(folder, name)), device="cpu")
