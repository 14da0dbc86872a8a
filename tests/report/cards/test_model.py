"""A model card as the hub and its readers take it: its head, its numbers, its snippet, and what it keeps to itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from gguf import GGUFWriter
from huggingface_hub import ModelCard

from tests.encoder_decoder import save_seq2seq
from tests.rounds.finished import begun_run, write_evaluation, write_exam
from tests.rounds.small import tutor_run
from tutelage.baselines.answers import evaluate_answers
from tutelage.config import StudentSettings
from tutelage.recipes import recipe_from_table
from tutelage.records import Attempt, Correction, Triplet
from tutelage.report.cards.markdown import escape, fence
from tutelage.report.cards.methods import method_of
from tutelage.report.cards.model import write_model_card
from tutelage.report.cards.origins import base_of
from tutelage.report.cards.parts import public_recipe
from tutelage.report.cards.snippets import snippet
from tutelage.rounds import Run, ask, evaluate, study
from tutelage.rounds.export import export
from tutelage.workspace import KEYS, Workspace, read_json, read_records, write_records

SHORT = ["task.train_questions=6", "task.test_questions=5", "exam.attempts=1", "study.steps=2"]
ASKED = "A shelf holds 3 rows of 12 books. 5 are lent out. How many are left?"


def snippet_of(card: Path) -> str:
    found = re.search(r"```python\n(.*?)```", card.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_card_of_an_export_loads_and_its_snippet_answers_as_the_student_does(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tutor_run(recipe, tmp_path, *SHORT, "lora.r=4", "prompt.count=1")
    study(run, 1)
    evaluate(run, 0)
    evaluate(run, 1)
    run.workspace.release()
    expected = ask(run.workspace.folder, ASKED, number=1).text
    for name, adapter in (("whole", False), ("adapter", True)):
        export(run.workspace.folder, tmp_path / name, 1, adapter=adapter, also=write_model_card)
        card = ModelCard.load(tmp_path / name / "README.md")
        assert card.data.library_name == ("peft" if adapter else "transformers")
        assert card.data.pipeline_tag == "text-generation"
        assert card.data.eval_results is not None
        assert card.data.eval_results[0].metric_value == read_json(run.round(1).evaluation)["accuracy"]
        monkeypatch.chdir(tmp_path / name)
        capsys.readouterr()
        exec(snippet_of(tmp_path / name / "README.md"), {})  # noqa: S102 - it is what the card tells people to do
        assert capsys.readouterr().out.startswith(expected)


def test_an_encoder_decoder_students_snippet_answers_as_it_does(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tutor_run(recipe, tmp_path, *SHORT, f"student.model={save_seq2seq(tmp_path / 't5')}", "prompt.count=1")
    run.workspace.release()
    export(run.workspace.folder, tmp_path / "to", 0, also=write_model_card)
    expected = ask(run.workspace.folder, ASKED, number=0).text
    assert expected
    monkeypatch.chdir(tmp_path / "to")
    capsys.readouterr()
    exec(snippet_of(tmp_path / "to" / "README.md"), {})  # noqa: S102 - as above
    assert capsys.readouterr().out.startswith(expected)


def carded(run: Run, number: int) -> str:
    folder = run.round(number).student
    write_model_card(run, number, folder)
    return (folder / "README.md").read_text()


def test_the_numbers_are_those_of_the_files(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 2)
    write_evaluation(run, 0, lambda _: False)
    write_evaluation(run, 1, lambda place: place < 6)
    for number in (0, 1):
        evaluate(run, number)
    for number in (1, 2):
        write_exam(run, number, lambda place, _: place >= 4)
    card = carded(run, 1)
    assert "| 0 | 0.0% | 0.0% to 32.4% | 0 of 8 | 0.0% of 6 |  |  |" in card
    assert "| **1** | **75.0%** | **40.9% to 92.9%** | **6 of 8** | **0.0% of 6** |" in card
    assert "| **+75.0 (+18.2 to +92.9)** | **0.031** |" in card
    assert "teacher (4 rationales kept). They were written for the question alone" in card
    assert "The run had not ended" in card
    assert "This student was not evaluated" in carded(run, 2)
    assert "teacher (8 rationales kept). 4 of them were written with the student's mistake" in carded(run, 2)
    run.workspace.leakage.unlink()
    assert "Not measured" in carded(run, 1)
    assert "before it learned anything" in carded(run, 0)


@pytest.mark.parametrize(
    ("method", "says", "paper"),
    [
        ("distillation", "in 1 round of tailored learning", "2310.13332"),
        ("answers", "which learned to answer ", None),
        ("star", "those of its own rationales that end right", "2203.14465"),
        ("cot", "It saw no mistakes of its own", "2212.08410"),
        ("adapter", "It saw no mistakes of its own", "2304.01933"),
        ("specializing", "every other one behind demonstrations", "2301.12726"),
    ],
)
def test_a_baselines_card_claims_no_tailored_learning(
    recipe: Path, tmp_path: Path, method: str, says: str, paper: str | None
) -> None:
    run = begun_run(recipe, tmp_path, 1)
    (run.workspace.folder / KEYS).write_text(json.dumps({"method": method, "1 study": "hash"}))
    card = carded(run, 1)
    assert says in card
    assert ("tailored learning" in card) == ("2310.13332" in card) == (method == "distillation")
    assert f"- arxiv:{paper}\n" in card or paper is None
    assert ("terms bind them" in card) == ("- distillation\n" in card) == (method not in ("answers", "star"))


def test_the_method_of_an_older_versions_baseline_is_told_by_its_stages(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1)
    assert method_of(run) == "distillation"
    stages = ("1 exam", "1 feedback", "1 study")
    for method, kept in (("untrained", 0), ("answers", 1), ("cot", 2), ("distillation", 3)):
        noted = dict.fromkeys(("untrained", *stages[len(stages) - kept :]), "hash")
        (run.workspace.folder / KEYS).write_text(json.dumps(noted))
        assert method_of(run) == method
    (run.round(1).folder / "rationalisation.jsonl").touch()
    assert method_of(run) == "star"
    place = tmp_path / "runs" / "cot-twice" / "seed-1"
    place.parent.mkdir(parents=True)
    run.workspace.folder.rename(place)
    (tmp_path / "comparison.toml").write_text('[[rows]]\nname = "CoT, twice"\nmethod = "specializing"\n')
    assert method_of(Run(Workspace(place), run.recipe)) == "specializing"


def test_a_student_that_began_anew_was_taught_by_its_own_round_alone(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 2)
    for number in (1, 2):
        write_exam(run, number, lambda place, _: place >= 4)
    (run.workspace.folder / KEYS).write_text('{"method": "star"}')
    assert "No teacher: teacher (4 rationales kept)." in carded(run, 2)


@pytest.mark.parametrize(("data", "kept"), [("this round", 4), ("all rounds", 8)])
def test_a_card_tells_of_a_fresh_start_and_of_the_students_own_rationales(
    recipe: Path, tmp_path: Path, data: str, kept: int
) -> None:
    run = begun_run(recipe, tmp_path, 2, "rounds.start=untrained", "exam.own_rationales=1", f"rounds.data={data}")
    for number in (1, 2):
        write_exam(run, number, lambda place, _: place >= 4)
        own = [Triplet(f"own/{place}", "3 + 4 = 7.", None, None, own=place > 1) for place in range(4)]
        write_records(run.round(number).lesson, own)
    card = carded(run, 2)
    assert f"teacher ({kept} rationales kept)." in card
    assert "2 more rationales are the student's own: right attempts at exams." in card
    assert "Right attempts of its own were studied, too. Each round trained the untrained student anew." in card


@pytest.mark.parametrize(
    ("start", "number", "taught"),
    [
        ("last round", 1, ["tutor"]),
        ("last round", 2, ["tutor", "recorded"]),
        ("untrained", 1, ["tutor"]),
        ("untrained", 2, ["recorded"]),
    ],
)
def test_a_card_names_the_teachers_of_the_rounds_that_its_student_studied(
    recipe: Path, tmp_path: Path, start: str, number: int, taught: list[str]
) -> None:
    teachers = ["teacher.kind=recorded", "first_teacher.kind=tutor", f"rounds.start={start}"]
    run = begun_run(recipe, tmp_path, 2, *teachers)
    for one in (1, 2):
        write_exam(run, one, lambda place, _: place >= 4)
    card = carded(run, number)
    words = {"tutor": ("No language model taught", "no model wrote them"), "recorded": ("Nobody was asked", "whoever")}
    for kind, (told, terms) in words.items():
        assert (told in card, terms in card) == (kind in taught, kind in taught), kind
    assert ("Later rounds:" in card) == (len(taught) == 2)
    assert "Another teacher wrote round 1's rationales" in card  # the other one's were recorded


def test_a_student_that_learned_answers_is_asked_for_them_as_it_was_in_its_test(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tutor_run(recipe, tmp_path, *SHORT, "prompt.count=1")
    (run.workspace.folder / KEYS).write_text('{"method": "answers"}')
    [question] = [replace(one, text=ASKED) for one in run.questions["test"][:1]]
    run.questions["test"][:] = [question]
    expected = evaluate_answers(run, 0)
    assert expected["total"] == 1
    [attempt] = [one for one in read_records(run.round(0).answers, Attempt) if one.question_id == question.id]
    run.workspace.release()
    write_model_card(run, 0, run.round(0).student)
    monkeypatch.chdir(run.round(0).student)
    capsys.readouterr()
    exec(snippet_of(run.round(0).student / "README.md"), {})  # noqa: S102 - as above
    said = capsys.readouterr().out
    assert said.lstrip().startswith(attempt.text.removeprefix("Answer:").strip())


def test_a_card_says_what_the_recipe_left_out(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1, "study.lambda=0", "teacher.feedback=false")
    assert "triplet loss" not in carded(run, 1).partition("## How it was made")[0]
    assert "a teacher wrote rationales for what it missed" in carded(run, 1)


def test_what_models_and_users_wrote_stays_text(recipe: Path, tmp_path: Path, questions: Path) -> None:
    hostile = "<script>alert(1)</script> | [x](javascript:1) `\n# Big"
    named = questions.rename(questions.with_name("a: b # 'c'.jsonl"))
    run = begun_run(recipe, tmp_path, 1, f"task.file={named}")
    write_evaluation(run, 1, lambda _: True)
    evaluate(run, 1)
    write_exam(run, 1, lambda *_: False)
    kept = read_records(run.round(1).feedback, Correction)
    write_records(run.round(1).feedback, [replace(one, teacher=hostile) for one in kept])
    card = carded(run, 1)
    assert "<script" not in card.replace("\\<script", "")
    assert "\n# Big" not in card
    assert escape(hostile) in card
    data = ModelCard.load(run.round(1).student / "README.md").data
    assert data.eval_results is not None
    assert data.eval_results[0].dataset_name == "a: b # 'c'"
    assert fence("a ``` b") == "````\na ``` b\n````"


def test_the_card_tells_nothing_of_the_machine(recipe: Path, tmp_path: Path) -> None:
    run = begun_run(recipe, tmp_path, 1)
    assert str(tmp_path) not in carded(run, 1)
    table = run.recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    table["teacher"] = {
        "kind": "openai",
        "model": "large",
        "base_url": "http://10.0.0.7/v1",
        "api_key_env": "SECRET_NAME",
        "api_key_file": "/home/me/key",
    }
    shown = public_recipe(recipe_from_table(table, "test"))
    assert 'model = "large"' in shown
    assert not any(told in shown for told in ("10.0.0.7", "SECRET_NAME", "/home/me", str(tmp_path)))


def test_every_kind_of_question_has_its_snippet(recipe: Path, tmp_path: Path) -> None:
    run = tutor_run(recipe, tmp_path, *SHORT)
    (first, *_) = run.questions["test"]
    run.questions["test"][0] = replace(first, kind="choice")
    assert r"\nAnswer Choices:\n(a) " in snippet(run, run.round(0).student, False)
    (run.round(0).student / "generation_config.json").write_text('{"decoder_start_token_id": 0}')
    assert "AutoModelForSeq2SeqLM" in snippet(run, run.round(0).student, False)
    assert "import AutoPeftModelForSeq2SeqLM" in snippet(run, run.round(0).student, True)


def test_a_base_models_licence_is_what_its_own_files_say(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert base_of(StudentSettings(model=str(folder))).licence is None
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: ours\n---\n# Model\n")
    assert base_of(StudentSettings(model=str(folder))).licence == "other, ours"
    (folder / "README.md").write_text("---\nlicense: [broken\n---\n")
    assert base_of(StudentSettings(model=str(folder))).licence is None
    file = tmp_path / "model.gguf"
    writer = GGUFWriter(file, "llama")
    writer.add_name("Small One")
    writer.add_license("mit")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = base_of(StudentSettings(model=str(file)))
    assert (found.name, found.hub_id, found.licence) == ("Small One", None, "mit")
    assert base_of(StudentSettings(model="owner/small")).hub_id == "owner/small"
    assert base_of(StudentSettings(model=str(tmp_path / "gone.gguf"))).name == "gone.gguf"
