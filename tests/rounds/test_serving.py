"""A student that a run handed over answers wherever it is served as `tutelage ask` has it answer."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tiny import make_model, make_tokenizer, save_model
from tests.transformers_server import transformers_server
from tutelage.errors import StudentError, WorkspaceError
from tutelage.recipes import read_recipe
from tutelage.records import Question
from tutelage.rounds import Run, ask, learn, start_run
from tutelage.rounds.evaluate import evaluate
from tutelage.rounds.export import export
from tutelage.rounds.learn import hand_over
from tutelage.rounds.plateau import Decision
from tutelage.rounds.run import open_run
from tutelage.student.model.student import load_student
from tutelage.student.text.encoding import encode_sample, pad
from tutelage.student.text.prompting import prompting_for

KNOWN = [
    ("Ann has 2 pens and gets 3 more. How many pens are there?", "Ann has 2 + 3 = 5 pens.", "5"),
    ("Bo has 4 pens and gets 4 more. How many pens are there?", "Bo has 4 + 4 = 8 pens.", "8"),
]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FORMS = {
    "plain": ["prompt.count=1"],
    "adapter": ["prompt.count=1", "lora.r=16"],
    "chat": ["prompt.count=1", "prompt.chat=true", "prompt.system=Think {{ twice }}."],
}

FEW = ["task.train_questions=6", "task.held_out_questions=2", "task.test_questions=2"]

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(recipe: Path, tmp_path: Path) -> MakeRun:
    """Starts a run with one demonstration and a random student that has a chat template."""
    shown = tmp_path / "shown.json"
    shown.write_text(json.dumps([{"question": "{% if %} 1 + 1?", "rationale": "1 + 1 = 2.", "answer": "2"}]))
    tokenizer = make_tokenizer(("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"), eos_token="<|im_end|>")
    tokenizer.chat_template = CHATML
    save_model(tmp_path / "chatty", make_model(len(tokenizer), eos_token_id=2), tokenizer)
    student = [f"student.model={tmp_path / 'chatty'}", f"prompt.demonstrations={shown}", "rounds.limit=1", *FEW]

    def make(name: str, *overrides: str, by: Callable[..., Run] = start_run) -> Run:
        return by(read_recipe(recipe, [*student, *overrides]), tmp_path / name)

    return make


def hand_over_taught(run: Run) -> None:
    """Teaches the student two questions by heart, the end of their answers included, and ends the run with it."""
    student = run.learner(0)
    prompting = prompting_for(student, run.recipe.prompt, run.demonstrations)
    samples = []
    for text, rationale, answer in KNOWN:
        prompt = prompting.prompt(Question("", text, answer, "number"))
        solution = prompting.solution(rationale, answer)
        samples.append(encode_sample(student, prompt.before, prompt.asked, solution, 0.1, prompting.end_id))
    batch = pad(samples, student.pad_id, student.device)
    labels_BT = batch.token_BT.masked_fill(batch.attention_BT == 0, -100)
    optimizer = torch.optim.AdamW([p for p in student.model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(60):
        student.model(input_ids=batch.token_BT, attention_mask=batch.attention_BT, labels=labels_BT).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    run.keep_student(student, 1)
    run.forget_student()
    evaluate(run, 1)
    hand_over(run, Decision(1, "taught"), 1)


def generated(folder: Path, question: str) -> str:
    """What plain transformers makes of it."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    messages = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    token_BT = model.generate(**inputs, max_new_tokens=60)
    assert token_BT[0, -1] in model.generation_config.eos_token_id
    return str(tokenizer.decode(token_BT[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def served(url: str, folder: Path, question: str) -> str:
    """What a chat server gives."""
    body = {"model": str(folder), "messages": [{"role": "user", "content": question}], "temperature": 0}
    data = json.dumps({**body, "max_tokens": 60}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - of this machine
        return str(json.load(reply)["choices"][0]["message"]["content"])


@pytest.mark.slow
def test_a_server_and_plain_transformers_answer_as_ask_does(make_run: MakeRun, tmp_path: Path) -> None:
    runs = {name: make_run(name, *overrides) for name, overrides in FORMS.items()}
    for run in runs.values():
        hand_over_taught(run)
    whole = {name: run.workspace.student for name, run in runs.items()}
    whole["adapter"] = tmp_path / "whole"  # no server takes an adapter's folder
    export(runs["adapter"].workspace.folder, whole["adapter"])
    with transformers_server(tmp_path / "log") as url:
        for name, run in runs.items():
            for question, rationale, answer in KNOWN:
                asked = ask(run.workspace.folder, question)
                assert asked.text == ("" if name == "chat" else " ") + f"{rationale}\nAnswer: {answer}"
                assert (asked.answer, asked.finished) == (answer, True)
                assert generated(whole[name], question) == asked.text
                assert served(url, whole[name], question) == asked.text


def test_a_chat_run_goes_from_its_start_to_its_student(make_run: MakeRun) -> None:
    run = make_run("run", *FORMS["chat"], by=learn)
    folder = run.workspace.folder
    template = "chat_template.jinja"
    assert [(run.round(number).student / template).read_text() for number in (0, 1)] == [CHATML, CHATML]
    assert (run.workspace.student / template).read_text().endswith(CHATML)
    weights = "model.safetensors"
    best = json.loads(run.workspace.outcome.read_text())["best_round"]
    assert (run.workspace.student / weights).samefile(run.round(best).student / weights)
    own, handed = (load_student(str(place), device="cpu") for place in (run.round(best).student, run.workspace.student))
    assert [getattr(own, name) for name in ("pad_id", "eos_id", "bos", "stop_ids")] == [
        getattr(handed, name) for name in ("pad_id", "eos_id", "bos", "stop_ids")
    ]
    question = KNOWN[0][0]
    assert ask(folder, question) == ask(folder, question, number=best)
    run.workspace.release()
    with pytest.raises(WorkspaceError, match=r"prompt\.chat cannot change"):
        open_run(folder, ["prompt.chat=true"])
    with pytest.raises(WorkspaceError, match=r"prompt\.system cannot change"):
        open_run(folder, ["prompt.system=Other."])


def test_a_student_without_a_chat_template_is_refused_before_anything_is_written(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="no chat template"):
        start_run(read_recipe(recipe, ["prompt.chat=true"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
