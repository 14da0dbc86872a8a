"""What is handed to others: whole weights or an adapter, which stop, pad and answer elsewhere as they do here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.rounds.small import tutor_run
from tests.tiny import make_model, make_tokenizer, save_model
from tutelage.errors import RecipeError, WorkspaceError
from tutelage.rounds import Run, ask, study
from tutelage.rounds.export import export
from tutelage.student.model.student import load_student

SHORT = ["task.train_questions=6", "task.test_questions=3", "exam.attempts=1", "study.steps=1"]


def bare_folder(folder: Path) -> Path:
    """A student whose vocabulary is full, and whose tokenizer pads with the end of text."""
    tokenizer = make_tokenizer(("<|endoftext|>",), eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    return save_model(folder, make_model(len(tokenizer)), tokenizer)


def lora_run(recipe: Path, folder: Path, *overrides: str) -> Run:
    """A run after its first study, with a student whose vocabulary grew by a token."""
    model = f"student.model={bare_folder(folder / 'bare')}"
    run = tutor_run(recipe, folder, *SHORT, model, "lora.r=4", "study.warmup_steps=0", "study.batch_size=6", *overrides)
    study(run, 1)
    run.workspace.release()
    return run


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=torch.tensor([[5, 6, 7, 8, 9, 10]])).logits[0]
    return found


def assert_same(model: Any, expected: Tensor, rows: int | None = None) -> None:
    """But for rounding: an adapter by itself adds up otherwise than one that is merged."""
    torch.testing.assert_close(logits(model)[:, :rows], expected, atol=1e-4, rtol=1e-4)


def test_an_exported_student_answers_and_stops_as_the_student_does(recipe: Path, tmp_path: Path) -> None:
    """It has learned to end by the end of text, which is not its padding, though its tokenizer once said so."""
    learned = ["study.steps=60", "study.learning_rate=1e-2", "study.lambda=0", "lora.r=16"]
    run = lora_run(recipe, tmp_path, *learned)
    assert export(run.workspace.folder, tmp_path / "to", 1) == 1
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "to")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "to")
    student = run.student(1)
    assert torch.equal(logits(model), logits(student.model))
    assert not (tmp_path / "to" / "adapter_config.json").exists()
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token_id == model.generation_config.pad_token_id == len(tokenizer) - 1
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)  # with the row of the added token
    turns = [[{"role": "user", "content": question.text}] for question in run.questions["train"]]
    prompts = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)  # the run's own
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    new = model.generate(**batch, max_new_tokens=40)[:, batch["input_ids"].shape[1] :]
    ends = (new == tokenizer.eos_token_id).sum(1).tolist()
    assert set(ends) <= {0, 1}  # what comes after it is padding
    assert sum(ends) >= len(prompts) / 2
    asked = run.questions["train"][ends.index(1)].text
    text = tokenizer.decode(new[ends.index(1)], skip_special_tokens=True)
    assert ask(run.workspace.folder, asked, number=1).text == text


def test_an_exported_adapter_loads_on_its_base_and_on_the_one_it_names(recipe: Path, tmp_path: Path) -> None:
    run = lora_run(recipe, tmp_path, "study.learning_rate=1e-1")
    moved, to = tmp_path / "moved", tmp_path / "to"
    expected = logits(run.student(1).model)
    run.workspace.folder.rename(moved)
    export(moved, to, 1, adapter=True)
    assert sorted(path.name for path in to.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    bare, tokenizer = tmp_path / "bare", AutoTokenizer.from_pretrained(to)
    rows = len(tokenizer) - 1  # of the model the adapter names, which lacks the padding token

    def whole(folder: Path) -> Any:
        return AutoModelForCausalLM.from_pretrained(folder)

    assert_same(PeftModel.from_pretrained(whole(moved / "round-0" / "student"), str(to)), expected)
    for model in (PeftModel.from_pretrained(whole(bare), str(to)), whole(to)):
        assert_same(model, expected[:, :rows])
    # Padded batches need the row: PEFT's automatic class adds it by itself, and README.md says how for the others.
    automatic: Any = AutoPeftModelForCausalLM.from_pretrained(to)
    resized = whole(bare)
    resized.resize_token_embeddings(len(tokenizer))
    batch = tokenizer(["Question:", "Question: two pens"], return_tensors="pt", padding=True)
    for model in (automatic, PeftModel.from_pretrained(resized, str(to))):
        assert_same(model, expected[:, :rows], rows)
        assert model(**batch).logits.isfinite().all()
    # In half the bytes, too.
    export(moved, tmp_path / "half", 1, adapter=True, dtype="bfloat16")
    halved = load_file(tmp_path / "half" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in halved.values()} == {torch.bfloat16}
    export(moved, tmp_path / "whole", 1, dtype="bfloat16")
    assert whole(tmp_path / "whole").dtype == torch.bfloat16


def test_what_cannot_be_exported_is_said_and_writes_nothing(recipe: Path, tmp_path: Path, tiny_folder: Path) -> None:
    folder = tutor_run(recipe, tmp_path, *SHORT).workspace.folder
    with pytest.raises(WorkspaceError, match=r"no student at .*--round"):
        export(folder, tmp_path / "to")
    with pytest.raises(RecipeError, match=r"round 0 is no adapter.*--adapter"):
        export(folder, tmp_path / "to", 0, adapter=True)
    with pytest.raises(WorkspaceError, match="in use already"):
        export(folder, tiny_folder, 0)
    with pytest.raises(RecipeError, match=r"float8.*float32, bfloat16"):
        export(folder, tmp_path / "to", 0, dtype="float8")
    assert not (tmp_path / "to").exists()
    (tmp_path / "to").mkdir()  # an empty folder will do, and a run without [lora]
    assert export(folder, tmp_path / "to", 0) == 0
    student = load_student(str(tmp_path / "to"), device="cpu")
    assert torch.equal(logits(student.model), logits(load_student(str(tiny_folder), device="cpu").model))
