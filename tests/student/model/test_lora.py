"""Adapters: what they train, that packed passes take them, that merging changes nothing, and that others read them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSeq2SeqLM, PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.encoder_decoder import load_seq2seq
from tests.student.packed.architectures import PACKED, make_lesson, make_student
from tutelage.config import LoraSettings, StudySettings
from tutelage.errors import StudentError
from tutelage.student.model.lora import (
    adapter_of,
    begin_adapter,
    check_adapter,
    check_packages,
    continue_adapter,
    is_adapter,
    merge_adapter,
    read_adapter,
    write_adapter,
)
from tutelage.student.model.student import Student, load_student, save_words
from tutelage.student.packed.replay import decoder_layers
from tutelage.student.training.optimizer import make_optimizer
from tutelage.student.training.passes import in_packed_passes, in_separate_passes, ways, why_not_packed
from tutelage.student.training.stepping import StudyStep

TOKEN_BT = torch.tensor([[5, 6, 7, 8, 9, 10]])
FAMILIES = ["Llama", "GPT-2, learned positions", "OPT, learned positions", "Gemma 2, capped scores and logits"]


def logits(student: Student) -> Tensor:
    student.model.eval()
    with torch.no_grad():
        found: Tensor = student.model(TOKEN_BT).logits
    return found


def stir(student: Student) -> None:
    """Gives the adapter's zeros some values, as training does."""
    torch.manual_seed(1)
    for name, parameter in student.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)


def adapted(name: str, **settings: Any) -> Student:
    student = make_student(PACKED[name])
    begin_adapter(student, LoraSettings(r=4, **settings), seed=3)
    stir(student)
    return student


def gradient(student: Student, way: Callable[..., Any]) -> Tensor:
    """Of all parameters that have any, in one row."""
    passes = way(student, 1.0, 0.5)
    with passes.running():
        passes.backward(passes.prepare(make_lesson(student)), 100.0, 3)
    found = {name: p.grad for name, p in student.model.named_parameters() if p.grad is not None}
    assert all("lora_" in name for name in found)
    student.model.zero_grad()
    return torch.cat([grad.flatten() for grad in found.values()])


def test_a_fresh_adapter_changes_nothing_and_alone_is_trained() -> None:
    student = make_student(PACKED["Llama"])
    before = logits(student)
    begin_adapter(student, LoraSettings(), seed=3)
    assert torch.equal(logits(student), before)
    assert isinstance(student.model, PreTrainedModel)
    trained = {id(p): name for name, p in student.model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 7 * 2  # A and B, seven linear layers, two blocks
    assert all("lora_" in name for name in trained.values())
    groups = make_optimizer(student, StudySettings(), 1e-3).param_groups
    assert {id(p) for group in groups for p in group["params"]} == trained.keys()


def test_the_same_seed_gives_the_same_adapter_whatever_was_drawn_before() -> None:
    students = [make_student(PACKED["Llama"]) for _ in range(3)]
    for student, seed in zip(students, (3, 3, 4), strict=True):
        torch.rand(seed)
        begin_adapter(student, LoraSettings(), seed)
    first, same, other = (adapter_of(student).tensors for student in students)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "lora_A" in name)


@pytest.mark.parametrize("name", FAMILIES)
def test_packed_passes_give_the_gradients_of_separate_ones(name: str) -> None:
    student = adapted(name)
    assert why_not_packed(student) is None
    expected, found = gradient(student, in_separate_passes), gradient(student, in_packed_passes)
    assert len(expected) == sum(p.numel() for p in student.model.parameters() if p.requires_grad)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_gradient_checkpointing_changes_no_step() -> None:
    settings = StudySettings(learning_rate=1e-2, batch_size=8, micro_batch_size=8)
    ends = []
    for checkpointing in (False, True):
        student = adapted("Llama")
        before = {name: parameter.clone() for name, parameter in student.model.named_parameters()}
        with StudyStep(student, settings.model_copy(update={"gradient_checkpointing": checkpointing}), 1e-2) as step:
            step.take(step.prepare(make_lesson(student)), 1e-2).losses()
        changed = {name for name, p in student.model.named_parameters() if not torch.equal(p, before[name])}
        assert changed == {name for name in before if "lora_" in name}
        ends.append(adapter_of(student).tensors)
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, atol=1e-5, rtol=1e-4)


def test_layers_with_an_adapter_compile_whole() -> None:
    """As the passes of a GPU compile them; here without a compiler behind it, since a CPU has no FlexAttention."""
    student = adapted("Llama")
    before = logits(student)
    for layer in decoder_layers(student):
        layer.compile(fullgraph=True, backend="eager")
    torch.testing.assert_close(logits(student), before)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True, "lora_alpha": 8}])
def test_a_merged_adapter_computes_the_same(name: str, settings: dict[str, Any]) -> None:
    student, whole = adapted(name, **settings), make_student(PACKED[name])
    assert not torch.allclose(logits(student), logits(whole), atol=1e-2)
    merge_adapter(whole, adapter_of(student))
    torch.testing.assert_close(logits(whole), logits(student), atol=1e-4, rtol=1e-4)
    assert whole.model.state_dict().keys() == make_student(PACKED[name]).model.state_dict().keys()


def test_a_saved_adapter_goes_on_and_loads_in_peft_and_in_transformers(tiny_folder: Path, tmp_path: Path) -> None:
    student = load_student(str(tiny_folder), device="cpu")
    begin_adapter(student, LoraSettings(r=4), seed=3)
    stir(student)
    write_adapter(adapter_of(student), str(tiny_folder), None, tmp_path)
    save_words(student, tmp_path)
    assert is_adapter(tmp_path)
    assert not is_adapter(tiny_folder)
    again = load_student(str(tiny_folder), device="cpu")
    continue_adapter(again, read_adapter(tmp_path))
    assert torch.equal(logits(again), logits(student))
    assert sum(p.requires_grad for p in again.model.parameters()) == 28
    others: list[Any] = [
        AutoPeftModelForCausalLM.from_pretrained(tmp_path),
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_folder), str(tmp_path)),
        AutoModelForCausalLM.from_pretrained(tmp_path),
    ]
    for other in others:
        with torch.no_grad():
            assert torch.equal(other(input_ids=TOKEN_BT).logits, logits(student))


@pytest.mark.parametrize("name", ["T5, tied", "BART, learned positions and a bias"])
def test_an_encoder_decoder_student_can_have_one(name: str, tmp_path: Path) -> None:
    student = load_seq2seq(tmp_path / "base", name)
    begin_adapter(student, LoraSettings(r=4), seed=3)
    stir(student)
    [fastest, *_], reason = ways(student, 1.0, 0.5)
    assert reason is None
    expected, found = gradient(student, in_separate_passes), gradient(student, lambda *_: fastest)
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    write_adapter(adapter_of(student), str(tmp_path / "base"), None, tmp_path / "adapter")
    save_words(student, tmp_path / "adapter")
    whole = load_student(str(tmp_path / "base"), device="cpu")
    merge_adapter(whole, read_adapter(tmp_path / "adapter"))
    inputs = {"input_ids": TOKEN_BT, "decoder_input_ids": TOKEN_BT, "use_cache": False}
    other: Any = AutoPeftModelForSeq2SeqLM.from_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        told = student.model.eval()(**inputs).logits
        for model in (whole.model, other):
            torch.testing.assert_close(model(**inputs).logits, told, atol=1e-4, rtol=1e-4)


def test_files_do_not_depend_on_the_process(tiny_folder: Path, tmp_path: Path) -> None:
    """Sets of names have another order in each."""
    student = load_student(str(tiny_folder), device="cpu")
    begin_adapter(student, LoraSettings(target_modules=("v_proj", "q_proj", "o_proj")), seed=3)
    write_adapter(adapter_of(student), "some/model", "main", tmp_path)
    adapter = read_adapter(tmp_path)
    assert list(adapter.tensors) == sorted(adapter.tensors)
    text = (tmp_path / "adapter_config.json").read_text()
    assert text.index('"o_proj"') < text.index('"q_proj"') < text.index('"v_proj"')
    assert '"base_model_name_or_path": "some/model"' in text
    assert '"revision": "main"' in text


def test_trying_an_adapter_leaves_the_student_as_it_was() -> None:
    student = make_student(PACKED["GPT-2, learned positions"])
    before = student.model.state_dict()
    check_adapter(student, LoraSettings())
    assert student.model.state_dict().keys() == before.keys()
    assert all(parameter.requires_grad for parameter in student.model.parameters())
    assert not hasattr(student.model, "peft_config")


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (("query",), "target_modules.*query.*all-linear"),
        ("q_proj", "q_proj"),  # a pattern, which whole names fit or none
        (("embed_tokens",), "are the same in this student"),
        (("lm_head", "q_proj"), "are the same in this student"),
    ],
)
def test_layers_that_cannot_have_one_are_named(targets: Any, words: str) -> None:
    with pytest.raises(StudentError, match=words):
        check_adapter(make_student(PACKED["Llama"]), LoraSettings(target_modules=targets))


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    finds = "tutelage.student.model.quantization.find_spec"
    monkeypatch.setattr(finds, lambda name: None if name == "bitsandbytes" else name)
    check_packages(LoraSettings())
    with pytest.raises(StudentError, match=r"bitsandbytes.*pip install 'tutelage\[qlora\]'"):
        check_packages(LoraSettings(quantize=True))
    monkeypatch.setattr(finds, lambda name: None)
    with pytest.raises(StudentError, match=r"peft.*pip install 'tutelage\[lora\]'"):
        check_packages(LoraSettings())
    with pytest.raises(StudentError, match=r"pip install 'tutelage\[lora\]'"):
        read_adapter(Path("nowhere"))


def test_a_damaged_adapter_is_one_clear_error(tiny_folder: Path, tmp_path: Path) -> None:
    student = load_student(str(tiny_folder), device="cpu")
    begin_adapter(student, LoraSettings(r=4), seed=3)
    adapter = adapter_of(student)
    short = dict(list(adapter.tensors.items())[1:])
    write_adapter(type(adapter)(adapter.config, short), "some/model", None, tmp_path)
    with pytest.raises(StudentError, match="does not fit the student"):
        merge_adapter(load_student(str(tiny_folder), device="cpu"), read_adapter(tmp_path))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"{")
    with pytest.raises(StudentError, match=r"cannot be read.*Put back a copy"):
        read_adapter(tmp_path)


def test_without_an_adapter_neither_package_is_loaded() -> None:
    """bitsandbytes looks for a kernel on the hub when it is imported, and PEFT imports it."""
    code = "import sys, tutelage.rounds; print(*sys.modules.keys() & {'peft', 'bitsandbytes'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), "kernels" in done.stderr) == ("", False)
