"""The command line as a user meets it: what it prints, and how it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.openai_server import OpenAIServer
from tutelage import __version__
from tutelage.cli import main
from tutelage.cli.ranks import started
from tutelage.errors import RecipeError

CONFIGS = Path(__file__).parents[1] / "configs"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tutelage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command line in an empty folder; its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tutelage", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        output = capsys.readouterr()
        return int(stop.value.code or 0), output.out, output.err

    return run


def write_recipe(folder: Path, tiny_folder: Path, rows: str | None = None, **keys: str) -> str:
    questions = folder / "rows.jsonl"
    if rows is None:
        rows = "".join(
            json.dumps({"question": f"What is {n} + 1?", "answer": str(n + 1), "rationale": f"{n} + 1 = {n + 1}."})
            + "\n"
            for n in range(20)
        )
    questions.write_text(rows)
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f"""
[task]
name = "own"
file = "{questions}"
kind = "number"
held_out_minimum = 4
[student]
model = "{keys.get("model", tiny_folder)}"
device = "cpu"
[prompt]
count = 0
[teacher]
kind = "tutor"
[exam]
attempts = 2
max_new_tokens = 24
[study]
learning_rate = 1e-3
epochs = 1
warmup_steps = 0
[rounds]
limit = 1
"""
    )
    return str(recipe)


def test_version_and_help(tutelage: Run) -> None:
    assert tutelage("--version") == (0, f"tutelage {__version__}\n", "")
    code, out, _ = tutelage("--help")
    assert code == 0
    assert all(
        verb in out
        for verb in (
            *("demo", "learn", "resume", "exam", "feedback", "study", "evaluate", "ask", "tasks"),
            *("estimate", "ledger", "export"),
        )
    )


def test_tasks_lists_the_papers_five(tutelage: Run) -> None:
    code, out, _ = tutelage("tasks")
    assert code == 0
    assert all(
        name in out for name in ("gsm8k", "multiarith", "svamp", "commonsense_qa", "strategy_qa", "leg_counting")
    )


def test_a_run_prints_a_table_a_round_and_how_it_ended(tutelage: Run, tmp_path: Path, tiny_folder: Path) -> None:
    code, out, err = tutelage("learn", write_recipe(tmp_path, tiny_folder), "--out", "run")
    assert code == 0, err
    assert "untrained" in out
    assert "Ended after round 1" in out
    assert "tutelage ask run" in out


def test_stages_one_by_one_make_the_run_that_learn_makes(tutelage: Run, tmp_path: Path, tiny_folder: Path) -> None:
    recipe = write_recipe(tmp_path, tiny_folder)
    assert tutelage("learn", recipe, "--out", "whole")[0] == 0
    assert "The run folder is single." in tutelage("exam", recipe, "--out", "single")[1]
    assert "Round 1: replies:" in tutelage("feedback", "single")[1]
    assert "Round 1: the student is in" in tutelage("study", "single")[1]
    assert "Round 0: test" in tutelage("evaluate", "single")[1]
    assert "Round 1: test" in tutelage("evaluate", "single")[1]
    for name in ("exam", "mistakes", "feedback", "lesson", "training", "evaluation"):
        path = f"round-1/{name}.jsonl"
        assert (tmp_path / "single" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


def test_ask_and_export_before_and_after(tutelage: Run, tmp_path: Path, tiny_folder: Path) -> None:
    recipe = write_recipe(tmp_path, tiny_folder)
    tutelage("evaluate", recipe, "--out", "run")
    code, _, err = tutelage("ask", "run", "What is 2 + 1?")
    assert code == 2
    assert "tutelage resume run" in err
    assert tutelage("export", "run", "--to", "mine")[0] == 2
    code, out, _ = tutelage("ask", "run", "What is 2 + 1?", "--round", "0")
    assert code == 0
    assert out.strip()
    assert tutelage("export", "run", "--to", "mine", "--round", "0")[:2] == (0, "The student of round 0 is in mine.\n")
    assert (tmp_path / "mine" / "model.safetensors").is_file()
    for flag in ("--adapter", "--lm-eval"):
        code, _, err = tutelage("export", "run", "--to", "other", "--round", "0", flag)
        assert code == 2
        assert flag in err
        assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "empty"),
        ('{"question": "What?"}\n', "line 1"),
        ('{"question": "What?", "answer": "3"}\nnot json\n', "line 2"),
    ],
)
def test_bad_data_is_one_clear_error(tutelage: Run, tmp_path: Path, tiny_folder: Path, rows: str, words: str) -> None:
    code, out, err = tutelage("learn", write_recipe(tmp_path, tiny_folder, rows), "--out", "run")
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["learn", "absent.toml"], "no recipe at absent.toml"),
        (["learn", "RECIPE", "study.epoch=3"], "did you mean 'epochs'"),
        (["learn", "RECIPE", "task.name=gms8k"], "task.file goes with"),
        (["learn", str(CONFIGS / "paper.toml"), "task.name=gms8k", "teacher.kind=tutor"], "did you mean 'gsm8k'"),
        (["learn", "RECIPE", "study.epochs=three"], "'three'"),
        (["learn", "RECIPE", "student.model=absent/folder"], "absent/folder"),
        (["learn", "RECIPE", "task.file=absent.jsonl"], "absent.jsonl"),
        (["resume", "absent"], "not a run folder"),
        (["ask", "absent", "What?"], "not a run folder"),
    ],
)
def test_errors_say_what_happened_and_leave_nothing(
    tutelage: Run, tmp_path: Path, tiny_folder: Path, arguments: list[str], words: str
) -> None:
    recipe = write_recipe(tmp_path, tiny_folder)
    code, _, err = tutelage(*(recipe if argument == "RECIPE" else argument for argument in arguments))
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_an_error_cannot_steer_a_terminal(tutelage: Run) -> None:
    _, _, err = tutelage("resume", "\x1b]0;x\x07")
    assert err.startswith("Error: \\x1b]0;x\\x07 is not a run folder")


def test_a_used_folder_is_refused_before_anything_is_loaded(tutelage: Run, tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("mine")
    code, _, err = tutelage("learn", write_recipe(tmp_path, tiny_folder, model="absent"), "--out", "run")
    assert code == 2
    assert "run is in use already" in err


PAID = ("teacher.kind=openai", "teacher.model=gpt-4o-mini")


@pytest.fixture
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key nor another address: an estimate needs none."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.mark.usefixtures("no_address")
def test_an_estimate_of_a_recipe_needs_no_key_student_or_folder(tutelage: Run, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "nowhere")
    code, out, err = tutelage("estimate", recipe, *PAID, "rounds.limit=2", "teacher.budget.money=1")
    assert code == 0, err
    for words in ("its prompts", "assumed", "the table of 20", "money = 1.00: the estimate stays below it"):
        assert words in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml", "rows.jsonl"]


@pytest.mark.usefixtures("no_address")
def test_an_estimate_as_json_can_be_piped(tutelage: Run, tmp_path: Path, tiny_folder: Path) -> None:
    recipe = write_recipe(tmp_path, tiny_folder)
    _, out, _ = tutelage("estimate", recipe, *PAID, "--json", "--error-rate", "0.25", "rounds.limit=2")
    value = json.loads(out)
    first, second = value["rounds"]
    assert second["requests"] == round(0.25 * first["requests"])
    assert float(value["total"]["cost"]) == pytest.approx(float(first["cost"]) + float(second["cost"]))
    _, out, _ = tutelage("estimate", recipe, "teacher.kind=openai", "teacher.model=no-such", "--json")
    assert json.loads(out)["total"]["cost"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--error-rate", "1.5"), "--error-rate"),
        (("--like", "nowhere"), "nowhere is not a run folder"),
        (("teacher.base_url=none",), "teacher.base_url"),
        (("teacher.price.input=-1",), "teacher.price.input"),
    ],
)
def test_an_estimate_that_cannot_be_is_one_clear_error(
    tutelage: Run, tmp_path: Path, tiny_folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = tutelage("estimate", write_recipe(tmp_path, tiny_folder), *PAID, *arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


def test_estimate_and_ledger_of_a_run(tutelage: Run, tmp_path: Path, tiny_folder: Path) -> None:
    recipe = write_recipe(tmp_path, tiny_folder)
    tutelage("exam", recipe, "--out", "run")
    code, _, err = tutelage("ledger", "run")
    assert code == 2
    assert "No teacher has been asked in run yet" in err
    assert not (tmp_path / "run" / "teacher.sqlite").exists()
    assert "costs nothing" in tutelage("estimate", "run")[1]
    before = (tmp_path / "run" / "recipe.toml").read_bytes()
    code, out, err = tutelage("estimate", "run", *PAID, "rounds.limit=2")
    assert code == 0, err
    assert "as in the exam of round 1" in out
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == before
    for arguments, words in (
        (("exam.attempts=3",), "changes nothing in an estimate"),
        (("--data", str(tmp_path)), "leave out --data"),
    ):
        code, _, err = tutelage("estimate", "run", *arguments)
        assert code == 2
        assert words in err
    tutelage("feedback", "run")
    out = tutelage("ledger", "run")[1]
    assert [line.split()[-1] for line in out.splitlines() if line.split()[:1] == ["answered"]] == ["10"]
    stored = json.loads((tmp_path / "run" / "questions.jsonl").read_text().splitlines()[0])
    code, out, _ = tutelage("ledger", "run", stored["question"]["id"])
    assert code == 0
    assert "Call " in out
    assert "Answer: " in out
    code, _, err = tutelage("ledger", "run", "own/999")
    assert code == 2
    assert "nothing about 'own/999'" in err


def test_the_teachers_own_accuracy(tutelage: Run, tmp_path: Path, tiny_folder: Path) -> None:
    recipe = write_recipe(tmp_path, tiny_folder)
    with OpenAIServer() as server:
        tutelage("exam", recipe, *PAID, f"teacher.base_url={server.url}", "--out", "run")
        code, out, err = tutelage("evaluate", "run", "--teacher")
    assert code == 0, err
    assert out.startswith("Teacher gpt-4o-mini: test 0.0% of ")
    assert "0 questions unanswered, paid unknown. See run/teacher.jsonl." in out
    assert tutelage("evaluate", "run", "--teacher")[:2] == (0, out)  # nobody is there to be asked again
    code, _, err = tutelage("evaluate", "run", "--teacher", "--round", "1")
    assert code == 2
    assert "leave out all other options" in err
    assert not (tmp_path / "run" / "round-0" / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("key", "reason"), [("auto", "torch finds 1 CUDA GPUs here"), ("cuda:1", 'student.device is "cuda:1"')]
)
def test_more_gpus_than_there_are(
    tutelage: Run, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, key: str, reason: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    code, _, error = tutelage("learn", write_recipe(tmp_path, tiny_folder), f"student.device={key}", "--gpus", "2")
    assert code == 2
    assert reason in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["exam", "study", "evaluate", "resume"])
def test_a_folder_that_is_no_run_with_gpus_as_without(tutelage: Run, tmp_path: Path, command: str) -> None:
    code, _, error = tutelage(command, str(tmp_path), "--gpus", "2")
    assert code == 2
    assert "is not a run folder" in error


def test_gpus_beside_another_launchers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    assert not started(4, "cpu")
    assert not started(None, "cpu")
    with pytest.raises(RecipeError, match="a launcher has started 4"):
        started(2, "cpu")
