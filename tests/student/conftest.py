"""Tiny students, made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from tutelage.student.model import Student, load_student

LESSON = "Question: How many legs have 2 cats?\nReasoning: A cat has 4 legs. 2 * 4 = 8.\nAnswer: 8\n\n"

MakeTokenizer = Callable[..., PreTrainedTokenizerFast]


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


def make_model(vocabulary: int, **changes: object) -> LlamaForCausalLM:
    """A random Llama of 40 thousand parameters; its logits are far apart, so that rounding decides nothing."""
    torch.manual_seed(0)
    shape = {
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


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `from_pretrained` loads: a random Llama with a tokenizer whose padding is its end of text."""
    tokenizer = make_tokenizer(eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    return save_model(tmp_path_factory.mktemp("tiny"), make_model(len(tokenizer)), tokenizer)


@pytest.fixture
def tiny_student(tiny_folder: Path) -> Student:
    """A student of its own for each test."""
    return load_student(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def parrot(tiny_folder: Path) -> Iterator[Student]:
    """A student that has learnt one text by heart, over and over; not to be changed."""
    student = load_student(str(tiny_folder), device="cpu")
    token_BT = student.tokenizer(LESSON * 3, return_tensors="pt")["input_ids"]
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=1e-2)
    student.model.train()
    for _ in range(60):
        loss = student.model(input_ids=token_BT, labels=token_BT).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    student.model.eval()  # type: ignore[no-untyped-call]
    assert float(loss) < 0.2
    yield student
