"""Whole runs: what is in the folder, and that killing one changes nothing."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.killed import Kill, run_all
from tests.openai_server import OpenAIServer
from tutelage.cli.stages import studied
from tutelage.config import OpenAITeacherSettings
from tutelage.errors import BudgetError, WorkspaceError
from tutelage.recipes import read_recipe
from tutelage.records import Attempt, Correction, Mistake, Question, StoredQuestion, Triplet
from tutelage.rounds import ask, learn, resume, start_run, study
from tutelage.rounds.answering import grade
from tutelage.rounds.learn import delete_students
from tutelage.rounds.run import open_run
from tutelage.rounds.study import train_student
from tutelage.seeds import derive_seed
from tutelage.student.answering.stopping import Completion
from tutelage.student.training.loop import Step
from tutelage.workspace import read_json, read_records, write_records

TESTS = Path(__file__).parents[1]


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but for those that hold times."""
    skip = {"journal.jsonl", "status.json", "report.html", ".lock"}
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in skip and not path.name.startswith("teacher.sqlite")
    }


def test_a_run_folder_tells_the_whole_story(recipe: Path, tmp_path: Path) -> None:
    told: list[int] = []
    run = learn(read_recipe(recipe), tmp_path / "run", lambda _run, number: told.append(number))
    folder = run.workspace.folder
    assert told == [0, 1, 2]
    stored = read_records(folder / "questions.jsonl", StoredQuestion)
    by_split = {name: {s.question.id for s in stored if s.split == name} for name in ("train", "held-out", "test")}
    assert {name: len(ids) for name, ids in by_split.items()} == {"train": 30, "held-out": 6, "test": 8}
    assert not by_split["train"] & (by_split["test"] | by_split["held-out"])

    for number in (1, 2):
        place = run.round(number)
        attempts = read_records(place.exam, Attempt)
        assert [(a.question_id, a.sample) for a in attempts] == [
            (s.question.id, sample) for s in stored if s.split == "train" for sample in (0, 1)
        ]
        mistakes = read_records(place.mistakes, Mistake)
        corrections = read_records(place.feedback, Correction)
        triplets = read_records(place.lesson, Triplet)
        summary = read_json(place.summary)
        assert {m.question_id for m in mistakes} <= by_split["train"]
        assert {c.question_id for c in corrections} <= by_split["train"]
        assert {t.question_id for t in triplets} <= by_split["train"]
        assert summary["test_questions_sent_to_teacher"] == summary["test_questions_in_lesson"] == 0
        assert summary["leakage"]["lesson"]["texts"] >= len(triplets)
        assert summary["leakage"]["lesson"]["same_question"]["count"] == 0
        assert summary["exam"]["attempts"] == 60
        assert summary["exam"]["error_rate"] == sum(not a.correct for a in attempts) / 60
        # Round 1 asks about everything without feedback; round 2 about mistakes only, which it shows.
        asked = {c.question_id for c in corrections}
        if number == 1:
            assert asked == by_split["train"]
            assert all(c.mistake is None for c in corrections)
        else:
            assert asked == {m.question_id for m in mistakes}
            assert all(c.mistake in mistakes for c in corrections)
        assert summary["feedback"]["requests"] == len(asked)
        steps = [json.loads(line) for line in place.training.read_text().splitlines()]
        assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))

    for number in (0, 1, 2):
        evaluation = read_json(run.round(number).evaluation)
        assert evaluation["total"] == 8
        assert evaluation["held_out"]["total"] == 6
        assert evaluation["interval"][0] <= evaluation["accuracy"] <= evaluation["interval"][1]
        assert len(read_records(run.round(number).answers, Attempt)) == 14
    outcome = read_json(folder / "outcome.json")
    assert outcome["last_round"] == 2
    assert not list(folder.rglob("*.partial"))
    assert not list(folder.rglob("*.unfinished"))


def test_the_student_that_is_handed_over_loads_in_plain_transformers(recipe: Path, tmp_path: Path) -> None:
    run = learn(read_recipe(recipe, ["rounds.limit=1"]), tmp_path / "run")
    folder = str(run.workspace.student)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    inputs = tokenizer("Question: Ann has 2 pens.\nReasoning:", return_tensors="pt")
    assert model.generate(**inputs, max_new_tokens=4).shape[1] > inputs["input_ids"].shape[1]
    assert ask(run.workspace.folder, "Bo has 1 pen and gets 2 more. How many?").tokens > 0


def test_a_used_folder_is_refused(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("")
    with pytest.raises(WorkspaceError, match="in use already"):
        learn(read_recipe(recipe), tmp_path / "run")


def test_a_finished_run_goes_on_with_another_limit(recipe: Path, tmp_path: Path) -> None:
    run = learn(read_recipe(recipe, ["rounds.limit=1"]), tmp_path / "run")
    run.workspace.release()
    longer = resume(tmp_path / "run", ["rounds.limit=2"])
    assert read_json(longer.workspace.outcome)["last_round"] == 2
    longer.workspace.release()
    with pytest.raises(WorkspaceError, match=r"study\.epochs cannot change"):
        resume(tmp_path / "run", ["study.epochs=2"])


def test_students_that_nothing_reads_are_deleted_if_the_recipe_says_so(recipe: Path, tmp_path: Path) -> None:
    short = ["rounds.keep=needed", "rounds.limit=2", "study.steps=1", "study.learning_rate=1e-9", "exam.attempts=1"]
    run = learn(read_recipe(recipe, short), tmp_path / "run")
    assert read_json(run.workspace.outcome)["best_round"] == 0  # such a rate teaches nothing
    assert [number for number in range(3) if run.round(number).student.is_dir()] == [0, 2]
    assert studied(run.round(1)).exists()  # `tutelage study` goes on behind it
    with pytest.raises(WorkspaceError, match="round 1 was deleted"):
        study(run, 1)
    run.workspace.release()
    with pytest.raises(WorkspaceError, match="round 1 was deleted"):
        ask(tmp_path / "run", "How many?", number=1)


def test_the_best_student_and_the_latest_are_kept(recipe: Path, tmp_path: Path) -> None:
    run = start_run(read_recipe(recipe), tmp_path / "run")
    for number in (1, 2, 3):
        run.round(number).student.mkdir(parents=True)
    delete_students(run, 4, best=1)  # round 4 had no lesson
    assert [number for number in range(5) if run.round(number).student.is_dir()] == [0, 1, 3]


def test_all_rounds_data_merges_the_lessons(recipe: Path, tmp_path: Path) -> None:
    run = learn(read_recipe(recipe, ["rounds.data=all rounds"]), tmp_path / "run")
    kept = {
        (c.question_id, c.rationale)
        for number in (1, 2)
        for c in read_records(run.round(number).feedback, Correction)
        if c.verdict == "kept"
    }
    triplets = read_records(run.round(2).lesson, Triplet)
    assert {(t.question_id, t.anchor) for t in triplets} == kept
    assert len(triplets) == len(kept)


OPTIONS = (
    *("exam.own_rationales=1", "teacher.prefer=shortest", "teacher.hard_replies=6", "teacher.rationales=2"),
    "rounds.number_variants=1",
    *("rounds.start=untrained", "rounds.data=all rounds", "study.later_learning_rate=0.5", "study.batch_size=4"),
    *("task.train_questions=12", "task.held_out_questions=2", "task.test_questions=2"),
)


def test_what_the_field_offers_goes_together_and_resumes(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lucky(question: Question, sample: int, completion: Completion) -> Attempt:
        """Of half of the questions, one attempt is right."""
        made = grade(question, sample, completion)
        if sample or derive_seed(0, question.id) % 2:
            return made
        said = f"I say {question.answer} ({derive_seed(0, completion.text)})."
        return replace(made, rationale=said, answer=question.answer, correct=True)

    monkeypatch.setattr("tutelage.rounds.answering.grade", lucky)
    whole = learn(read_recipe(recipe, OPTIONS), tmp_path / "whole")

    log = import_module("tutelage.rounds.study")._Log
    add = log.add

    def stop(self: Any, step: Step) -> None:
        if "round-2" in str(self.path) and step.step == 4:  # behind a checkpoint
            raise KeyboardInterrupt
        add(self, step)

    with monkeypatch.context() as stopped:
        stopped.setattr(log, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            learn(read_recipe(recipe, OPTIONS), tmp_path / "cut")
    resume(tmp_path / "cut")
    expected, seen = contents(tmp_path / "whole"), contents(tmp_path / "cut")
    assert expected.keys() == seen.keys()
    assert [name for name, content in expected.items() if content != seen[name]] == []

    summaries = [read_json(whole.round(number).summary) for number in (1, 2)]
    lessons = [read_records(whole.round(number).lesson, Triplet) for number in (1, 2)]
    for summary, triplets in zip(summaries, lessons, strict=True):
        assert summary["lesson"]["own"] == sum(one.own and one.variant is None for one in triplets) > 0
        assert summary["lesson"]["variants"] == sum(one.variant is not None for one in triplets) > 0
    first, second = ({(one.question_id, one.anchor, one.own) for one in triplets} for triplets in lessons)
    assert first < second
    # Round 2 began with the untrained student, at the rate of such a study: one that knows no round 1 does the same.
    alone = start_run(read_recipe(recipe, OPTIONS), tmp_path / "alone")
    write_records(alone.round(2).lesson, lessons[1])
    train_student(alone, 2)
    assert alone.round(2).training.read_bytes() == whole.round(2).training.read_bytes()


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tutelage", *arguments], capture_output=True, text=True, check=False)


KILLS = [
    ("tutelage.rounds.answering.grade", 3),  # round 0, evaluation, first sitting
    ("tutelage.rounds.answering.grade", 11),  # round 0, evaluation, second sitting
    ("tutelage.rounds.answering.grade", 45),  # round 1, exam, second sitting, after the evaluation's second
    ("tutelage.teacher.books.ledger.Ledger.write", 8),  # round 1, feedback
    ("tutelage.rounds.study._Log.add", 3),  # round 1, study, after its first checkpoint
    ("tutelage.rounds.run.save_student", 1),  # round 1, study, before the student is saved
    ("tutelage.rounds.study.remove", 1),  # round 1, study, when only its leftovers are to be cleared
    ("tutelage.rounds.learn.summarize", 1),  # round 1, after its evaluation
    ("tutelage.rounds.answering.remove", 1),  # round 2, exam, when only its leftovers are to be cleared
    ("tutelage.rounds.lesson.make_triplets", 1),  # round 2, lesson
    ("tutelage.rounds.learn.link_tree", 1),  # the end
]


def test_killing_a_run_in_every_stage_changes_nothing(recipe: Path, tmp_path: Path) -> None:
    cut = str(tmp_path / "cut")
    steps: list[tuple[list[str], Kill | None]] = [(["learn", str(recipe), "--out", str(tmp_path / "whole")], None)]
    for number, kill in enumerate(KILLS):
        steps.append((["resume", cut] if number else ["learn", str(recipe), "--out", cut], kill))
    codes, said = run_all([*steps, (["resume", cut], None)])
    assert codes == [0, *(-9 for _ in KILLS), 0], said
    expected, seen = contents(tmp_path / "whole"), contents(tmp_path / "cut")
    assert expected.keys() == seen.keys()
    assert [name for name, content in expected.items() if content != seen[name]] == []
    keys = sqlite3.connect(tmp_path / "cut" / "teacher.sqlite").execute("SELECT call, place FROM samples").fetchall()
    assert len(keys) == len(set(keys)) > 0


def test_killing_a_run_pays_again_for_nothing_that_was_answered(recipe: Path, tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with OpenAIServer(log=log) as server:
        teacher = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}", "teacher.concurrency=2"]
        cut = str(tmp_path / "cut")
        longer = ["exam.max_new_tokens=120", "evaluation.max_new_tokens=120"]  # so are the server's replies
        command = ["learn", str(recipe), *teacher, *longer, "exam.attempts=1", "rounds.limit=1", "--out", cut]
        kill = ("tutelage.teacher.books.ledger.Ledger.commit", 12)
        codes, said = run_all([(command, kill)])
        assert codes == [-9], said
        database = sqlite3.connect(tmp_path / "cut" / "teacher.sqlite")
        answered = {row[0] for row in database.execute("SELECT DISTINCT call FROM samples")}
        assert 0 < len(answered) < 30
        before = len(server.requests)
        whole = [*command[:-1], str(tmp_path / "whole")]
        kill = ("tutelage.rounds.study._Log.add", 2)
        codes, said = run_all([(["resume", cut], kill), (["resume", cut], None), (whole, None)])
        assert codes == [-9, 0, 0], said
        asked = len(server.requests) - before
        assert asked == 30 - len(answered) + 30  # what was not committed when it died, and the whole run's
    expected, seen = contents(tmp_path / "whole"), contents(tmp_path / "cut")
    assert [name for name, content in expected.items() if content != seen[name]] == []


def test_ctrl_c_leaves_a_run_that_resumes(recipe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tutelage", "learn", str(recipe), "--out", str(tmp_path / "run")]
    process = subprocess.Popen([*command, "study.epochs=200"], stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "round-1" / "training.jsonl.unfinished"
    deadline = time.monotonic() + 120
    while not log.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "tutelage resume" in errors
    assert "Traceback" not in errors
    open_run(tmp_path / "run").workspace.release()  # the lock is free


def test_a_run_resumes_from_another_folder(
    recipe: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [f"task.file={questions.name}", "teacher.kind=recorded", 'teacher.files=["quest*.jsonl"]']
    run = learn(read_recipe(Path(recipe.name), [*overrides, "rounds.limit=1"]), Path("run"))
    run.workspace.release()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    longer = resume(Path("../run"), ["rounds.limit=2"])
    assert read_json(longer.workspace.outcome)["last_round"] == 2


def test_a_start_that_was_cut_short_is_started_again(recipe: Path, tmp_path: Path) -> None:
    command = ["learn", str(recipe), "rounds.limit=1", "--out", str(tmp_path / "run")]
    codes, said = run_all([(command, ("tutelage.rounds.run.write_text", 1))])
    assert codes == [-9], said
    assert (tmp_path / "run" / "questions.jsonl").is_file()
    codes, said = run_all([(command, None)])
    assert codes == [0], said


def test_a_test_question_that_got_into_the_training_split_stops_everything(recipe: Path, tmp_path: Path) -> None:
    run = start_run(read_recipe(recipe), tmp_path / "run")
    run.workspace.release()
    path = run.workspace.questions
    stolen = next(json.loads(line) for line in path.read_text().splitlines() if '"test"' in line)
    stolen["split"], stolen["question"]["id"] = "train", "own/innocent"
    path.write_text(path.read_text() + json.dumps(stolen) + "\n")
    with pytest.raises(WorkspaceError, match="stand in the test split too"):
        resume(tmp_path / "run")
    assert not (tmp_path / "run" / "round-1").exists()


def test_a_full_disk_at_a_checkpoint_is_one_clear_error(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("tutelage.student.training.checkpoint.save_file", full)
    with pytest.raises(WorkspaceError, match="No space left") as error:
        learn(read_recipe(recipe, ["rounds.limit=1"]), tmp_path / "run")
    assert "tutelage resume" in str(error.value)
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_a_run_that_failed_resumes_in_the_same_process(recipe: Path, tmp_path: Path) -> None:
    with OpenAIServer() as server:
        teacher = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}", "rounds.limit=1"]
        longer = ["exam.max_new_tokens=120", "evaluation.max_new_tokens=120", "teacher.budget.requests=3"]
        with pytest.raises(BudgetError, match=r"teacher\.budget\.requests is 3") as raised:
            learn(read_recipe(recipe, [*teacher, *longer]), tmp_path / "run")
        assert len(server.requests) == 3
        run = resume(tmp_path / "run", ["teacher.budget.requests=100"])  # while the error is held, traceback and all
        assert raised.value is not None
        assert len(server.requests) == 30
    assert run.workspace.outcome.is_file()


def test_a_path_given_on_resuming_is_kept_whole(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    teacher = ["teacher.kind=openai", "teacher.model=m", "teacher.base_url=http://127.0.0.1:1/v1"]
    start_run(read_recipe(recipe, teacher), tmp_path / "run").workspace.release()
    run = open_run(tmp_path / "run", ["teacher.cache=shared.sqlite"])
    assert isinstance(run.recipe.teacher, OpenAITeacherSettings)
    assert run.recipe.teacher.cache == tmp_path / "shared.sqlite"
    assert str(tmp_path / "shared.sqlite") in run.workspace.recipe.read_text()
