"""The outside check: lm-evaluation-harness counts as many right answers as the run's own evaluation."""

from __future__ import annotations

import json
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from tests.encoder_decoder import save_seq2seq
from tests.tiny import make_model, make_tokenizer, save_model
from tutelage.cli.export import export
from tutelage.errors import StudentError, WorkspaceError
from tutelage.prompts import student_prompt
from tutelage.recipes import read_recipe
from tutelage.records import Attempt, Demonstration, Question, to_json
from tutelage.rounds import Run, evaluate, start_run
from tutelage.rounds.answering import prompts_for
from tutelage.rounds.learn import hand_over
from tutelage.rounds.lm_eval import model_arguments, write_lm_eval
from tutelage.rounds.lm_eval_utils import process_results
from tutelage.rounds.plateau import Decision
from tutelage.student.answering.prompts import encode_prompts
from tutelage.student.answering.stopping import answer_end
from tutelage.student.model.student import load_student
from tutelage.workspace import read_records

SHOWN = Demonstration("z has 1 and gets 1. How many?", "1 + 1 = 2.", "2")
ROWS = [(name, have) for name in "abcdefg" for have in range(1, 9)]
TESTED = 50


def text(name: str, have: int) -> str:
    return f"{name} has {have} and gets 1. How many?"


def learnt(name: str, have: int) -> str:
    """What the student is taught: mostly right; of some numbers it is wrong, or goes on in ways that must not count."""
    told = f" {name}: {have} + 1 = {have + 1}."
    if have == 3:
        return f"{told}\nAnswer: {have + 2}"
    if have == 5:
        return f" So.\nQuestion: {text(name, have)}\nReasoning:{told}\nAnswer: {have + 1}"
    if have == 6:
        return f" So.\n Question: {text(name, have)}\nReasoning:{told}\nAnswer: {have + 1}"
    return f"{told}\nAnswer: {have + 1}\nAnswer: 0"


def tokenizer_with(template: str) -> PreTrainedTokenizerFast:
    """A tokenizer that puts special tokens around a text: "<s> $A" or the like."""
    ends: dict[str, Any] = {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>", "bos_token": "<s>"}
    tokenizer = make_tokenizer(("<|endoftext|>", "<|pad|>", "<s>"), **ends)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=template, special_tokens=[("<|endoftext|>", 0), ("<s>", 2)]
    )
    return tokenizer


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    """A student's folder: it has learnt the test by heart, as it is asked, behind a beginning-of-text token."""
    tokenizer = tokenizer_with("<s> $A")
    prompts = [student_prompt(Question("", text(*row), "0", "number"), [SHOWN]) for row in ROWS]
    texts = [prompt + learnt(*row) + "<|endoftext|>" for prompt, row in zip(prompts, ROWS, strict=True)]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    labels[:, : len(tokenizer(prompts[0])["input_ids"])] = -100
    model = make_model(len(tokenizer), bos_token_id=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        some = torch.randperm(len(texts))[:28]
        model(**{name: rows[some] for name, rows in batch.items()}, labels=labels[some]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return save_model(tmp_path / "adder", model, tokenizer)


@pytest.fixture
def encoder_decoder(tmp_path: Path) -> Path:
    return save_seq2seq(tmp_path / "encoder-decoder")


@pytest.fixture
def chatty(tmp_path: Path) -> Path:
    """A random model whose chat template writes the beginning-of-text token itself."""
    tokenizer = tokenizer_with("<s> $A")
    turn = "{{ message['role'] }}: {{ message['content'] }}{{ eos_token }}"
    opened = "{% if add_generation_prompt %}assistant:{% endif %}"
    tokenizer.chat_template = "{{ bos_token }}{% for message in messages %}" + turn + "{% endfor %}" + opened
    return save_model(tmp_path / "chatty", make_model(len(tokenizer)), tokenizer)


CHAT = {"chatty": ("prompt.chat=true",)}


@pytest.fixture
def run(recipe: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    """A run that has begun, with the student that the test names by its fixture: the adder on 50 test questions."""
    rows = [
        {"question": text(*row), "answer": str(row[1] + 1), "split": "test" if place < TESTED else "train"}
        for place, row in enumerate(ROWS)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = {"question": SHOWN.question, "rationale": SHOWN.rationale, "answer": SHOWN.answer}
    (tmp_path / "shown.json").write_text(json.dumps([shown]))
    name = getattr(request, "param", "tiny_folder")
    size = TESTED if name == "adder" else 4 if name != "tiny_folder" else 1
    task = (f"task.file={tmp_path / 'rows.jsonl'}", "task.held_out_minimum=2", f"task.test_questions={size}")
    prompt = ("prompt.count=1", f"prompt.demonstrations={tmp_path / 'shown.json'}", *CHAT.get(name, ()))
    student = (f"student.model={request.getfixturevalue(name)}", "evaluation.max_new_tokens=32")
    return start_run(read_recipe(recipe, [*task, *prompt, *student]), tmp_path / "run")


def harness(command: str, prompts: list[str]) -> tuple[dict[str, Any], list[list[int]]]:
    """What lm_eval makes of the command, and of prompts as tokens; without the thousands of tasks that it brings."""
    lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install lm-eval")
    from lm_eval.api.registry import get_model
    from lm_eval.tasks import TaskManager

    name, *arguments = shlex.split(command)
    assert name == "lm_eval"
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    size = int(options["--batch_size"])
    more = {"device": "cpu", "batch_size": size}
    model = get_model(options["--model"]).create_from_arg_string(options["--model_args"], more)
    manager = TaskManager(include_path=options["--include_path"], include_defaults=False)
    result = lm_eval.simple_evaluate(model, tasks=[options["--tasks"]], task_manager=manager, bootstrap_iters=0)
    return result, [model.tok_batch_encode([prompt])[0][0].tolist() for prompt in prompts]


@pytest.mark.parametrize("run", ["adder"], indirect=True)
def test_the_harness_counts_what_the_run_counted(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = evaluate(run, 0)
    assert ours["total"] == TESTED
    assert 5 < ours["correct"] < 45
    assert ours["unreadable"] > 0
    hand_over(run, Decision(0, "limit"), 0)
    export(run.workspace.folder, tmp_path / "a folder", lm_eval=True)
    command = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("lm_eval "))
    prompts = [student_prompt(question, run.demonstrations) for question in run.questions["test"]]
    result, tokens = harness(command, prompts)
    assert tokens == encode_prompts(run.student(0), prompts)
    assert tokens[0][0] == 2  # the beginning-of-text token, once
    assert tokens[0][1] != 2
    samples = result["samples"]["tutelage_own"]
    assert [sample["arguments"][0][0] for sample in samples] == prompts
    assert abs(result["results"]["tutelage_own"]["exact_match,none"] * TESTED - ours["correct"]) <= 1
    right = {attempt.question_id: attempt.correct for attempt in read_records(run.round(0).answers, Attempt)}
    assert sum(right[sample["doc"]["id"]] != bool(sample["exact_match"]) for sample in samples) <= 1
    assert f"{ours['correct']} of {TESTED} right" in (tmp_path / "a folder" / "lm_eval" / "README.md").read_text()


@pytest.mark.parametrize("run", ["encoder_decoder", "chatty"], indirect=True)
def test_other_students_write_the_same_for_the_harness(run: Run, tmp_path: Path) -> None:
    evaluate(run, 0)
    hand_over(run, Decision(0, "limit"), 0)
    command = write_lm_eval(run, tmp_path / "task")
    student = run.student(0)
    prompts = prompts_for(run, student, run.questions["test"])
    result, tokens = harness(command, prompts)
    assert tokens == encode_prompts(student, prompts)
    ours = {attempt.question_id: attempt for attempt in read_records(run.round(0).answers, Attempt)}
    for sample in result["samples"]["tutelage_own"]:
        attempt, [written] = ours[sample["doc"]["id"]], sample["resps"][0]
        assert written[: answer_end(written)] == attempt.text
        assert attempt.correct == bool(sample["exact_match"])


@pytest.mark.parametrize(
    ("generated", "writes_lines", "right"),
    [
        (" 1 + 1 = 2.\nAnswer: 2\nAnswer: 7", True, 1.0),
        (" 1 + 1 = 2.\nAnswer: 7\nAnswer: 2", True, 0.0),
        (" So.\n Question: What?\nAnswer: 2", True, 0.0),
        (" It is 2.", True, 0.0),
        ("", True, 0.0),
        # As a T5 writes: all in one line.
        ("1 + 1 = 2. Answer: 2 Question: 3 + 4? Reasoning: 3 + 4 = 7. Answer: 7", False, 1.0),
        ("So. Question: 1 + 1? Reasoning: 1 + 1 = 2. Answer: 2", False, 0.0),
    ],
)
def test_answers_are_read_as_in_an_evaluation(generated: str, writes_lines: bool, right: float) -> None:
    doc = {"question": to_json(Question("own/1", "1 + 1?", "2", "number")), "writes_lines": writes_lines}
    assert process_results(doc, [generated]) == {"exact_match": right}


def test_without_tutelage_the_task_says_what_it_needs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over(run, Decision(0, "limit"), 0)
    write_lm_eval(run, tmp_path / "task")
    monkeypatch.setitem(sys.modules, "tutelage.records", None)
    with pytest.raises(ImportError, match="Tutelage does, which is not installed where lm_eval runs"):
        runpy.run_path(str(tmp_path / "task" / "utils.py"))


def test_a_folder_is_written_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    with pytest.raises(WorkspaceError, match="has not ended"):
        write_lm_eval(run, folder)
    assert not folder.exists()
    hand_over(run, Decision(0, "limit"), 0)
    write_lm_eval(run, folder)
    (folder / "utils.py").write_text("")
    write_lm_eval(run, folder)  # an earlier one is replaced
    assert (folder / "utils.py").read_text() != ""
    (folder / "mine").write_text("mine")
    with pytest.raises(WorkspaceError, match="It holds mine"):
        write_lm_eval(run, folder)
    assert (folder / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("template", "arguments"),
    [("$A", []), ("<s> $A", []), ("$A <|endoftext|>", ["add_bos_token=False"]), ("<s> $A <|endoftext|>", None)],
)
def test_the_harness_is_told_how_to_tokenise_or_refused(
    tmp_path: Path, template: str, arguments: list[str] | None
) -> None:
    tokenizer = tokenizer_with(template)
    student = load_student(str(save_model(tmp_path / "one", make_model(len(tokenizer)), tokenizer)), device="cpu")
    assert model_arguments(student, ["<s>How many?"]) == []  # as a chat template begins its text
    if arguments is not None:
        assert model_arguments(student, ["How many?"]) == arguments
        return
    with pytest.raises(StudentError, match="cannot give this student the tokens"):
        model_arguments(student, ["How many?"])
