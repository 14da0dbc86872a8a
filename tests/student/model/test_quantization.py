"""QLoRA: what is trained on weights in 4 bits is what answers afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from tests.student.packed.architectures import make_lesson
from tests.tiny import make_model, make_tokenizer, save_model
from tutelage.config import LoraSettings, StudySettings
from tutelage.student.model.lora import adapter_of, begin_adapter, load_base, merge_adapter
from tutelage.student.model.quantization import exact_arithmetic
from tutelage.student.model.student import Student, autocast, load_student, save_student
from tutelage.student.training.passes import why_not_packed
from tutelage.student.training.stepping import StudyStep

TOKEN_BT = torch.tensor([[5, 6, 7, 8, 9, 10]])
SETTINGS = StudySettings(learning_rate=1e-2, batch_size=8)


def logits(student: Student) -> Tensor:
    student.model.eval()
    with torch.inference_mode(), autocast(student.device):
        found: Tensor = student.model(TOKEN_BT.to(student.device)).logits
    return found.float().cpu()


def trained(folder: Path, device: str) -> Student:
    """A student in 4 bits that took two steps; its frozen weights are checked to be as before."""
    student = load_student(str(folder), device=device, quantize=True)
    begin_adapter(student, LoraSettings(r=4), seed=3)
    assert why_not_packed(student) is None
    frozen = {name: p.clone() for name, p in student.model.named_parameters() if not p.requires_grad}
    with StudyStep(student, SETTINGS, 1e-2) as step:
        losses = [step.take(step.prepare(make_lesson(student)), 1e-2).losses() for _ in range(3)]
    assert losses[-1].language_model < losses[0].language_model
    assert {name for name, p in student.model.named_parameters() if p.requires_grad} == {
        name for name, _ in student.model.named_parameters() if "lora_" in name
    }
    assert all(torch.equal(p, frozen[name]) for name, p in student.model.named_parameters() if name in frozen)
    return student


def test_all_linear_layers_but_the_head_are_in_4_bits(tiny_folder: Path) -> None:
    student = load_student(str(tiny_folder), device="cpu", quantize=True)
    state = student.model.state_dict()
    packed = {name for name, tensor in state.items() if tensor.dtype == torch.uint8 and name.endswith("_proj.weight")}
    assert len(packed) == 14
    assert state["lm_head.weight"].dtype == state["model.embed_tokens.weight"].dtype == torch.float32
    layer: Any = student.model.get_submodule("model.layers.0.self_attn.q_proj")
    assert (layer.weight.quant_type, layer.weight.quant_state.nested) == ("nf4", True)
    assert layer.compute_dtype == torch.float32


def test_the_base_of_an_adapter_is_what_is_taught(tiny_folder: Path, tmp_path: Path) -> None:
    taught = load_student(str(tiny_folder), device="cpu", quantize=True)
    base = load_base(tiny_folder, "cpu", quantize=True)
    torch.testing.assert_close(logits(base), logits(taught), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits(base), logits(load_student(str(tiny_folder), device="cpu")), atol=0.1)
    assert {parameter.dtype for parameter in base.model.parameters()} == {torch.float32}
    save_student(base, tmp_path)
    assert "quant" not in (tmp_path / "config.json").read_text()
    assert torch.equal(logits(load_student(str(tmp_path), device="cpu")), logits(base))


def test_ways_are_compared_in_exact_arithmetic(tiny_folder: Path) -> None:
    """As on a GPU, where the layers compute in bfloat16, and their rounding is no reason to study another way."""
    student = load_student(str(tiny_folder), device="cpu", quantize=True)
    exact = logits(student)
    layers: list[Any] = [module for module in student.model.modules() if hasattr(module, "compute_dtype")]
    for layer in layers:
        layer.compute_dtype = torch.bfloat16
    assert not torch.allclose(logits(student), exact, atol=1e-3)
    with exact_arithmetic(student.model):
        assert torch.equal(logits(student), exact)
    assert {layer.compute_dtype for layer in layers} == {torch.bfloat16}


def test_what_was_trained_in_4_bits_answers_the_same_merged(tiny_folder: Path) -> None:
    student = trained(tiny_folder, "cpu")
    whole = load_base(tiny_folder, "cpu", quantize=True)
    untrained = logits(whole)
    merge_adapter(whole, adapter_of(student))
    torch.testing.assert_close(logits(whole), logits(student), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits(whole), untrained, atol=0.1)


def test_a_gpt2_is_whole_again_after_4_bits(tmp_path: Path) -> None:
    """Its layers keep their weights the other way round, and the library turns them to quantise them."""
    tokenizer = make_tokenizer(eos_token="<|endoftext|>", pad_token="<|pad|>")
    torch.manual_seed(0)
    shape = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=4, initializer_range=0.3)
    save_model(tmp_path / "gpt2", GPT2LMHeadModel(shape), tokenizer)
    student = trained(tmp_path / "gpt2", "cpu")
    whole = load_base(tmp_path / "gpt2", "cpu", quantize=True)
    merge_adapter(whole, adapter_of(student))
    torch.testing.assert_close(logits(whole), logits(student), atol=1e-3, rtol=1e-3)
    save_student(whole, tmp_path / "whole")
    assert torch.equal(logits(load_student(str(tmp_path / "whole"), device="cpu")), logits(whole))


@pytest.mark.gpu
def test_a_gpu_trains_in_4_bits_what_answers_merged(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(eos_token="<|endoftext|>", pad_token="<|pad|>")
    save_model(tmp_path, make_model(len(tokenizer), hidden_size=128, intermediate_size=256), tokenizer)
    student = trained(tmp_path, "cuda")
    whole = load_base(tmp_path, "cuda", quantize=True)
    merge_adapter(whole, adapter_of(student))
    expected, found = logits(student), logits(whole)
    assert float((found - expected).norm() / expected.norm()) < 0.05  # both compute in bfloat16
