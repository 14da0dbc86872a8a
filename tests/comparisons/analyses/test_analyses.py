"""Analyses that open the runs: what students make of pairs, of other tasks, and of single questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.comparisons.conftest import Write
from tests.openai_server import OpenAIServer
from tests.tiny import make_model, make_tokenizer, save_model
from tutelage.comparisons.analyses import ANALYSES, transfer
from tutelage.comparisons.compare import compare
from tutelage.comparisons.results import RoundResult, RunResult, TeacherUse, read_result
from tutelage.comparisons.settings import ColumnSettings, read_comparison
from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Table
from tutelage.errors import BudgetError, RecipeError, WorkspaceError
from tutelage.student.model.student import Student
from tutelage.workspace import read_json

PAPER = Paper(
    {
        "table_4": {"rows": [{"task": "gsm8k", "method": "without", "distance": 51.0, "preference": 73.63}]},
        "table_11": {"rows": [{"train_on": None, "accuracy": {"svamp": 20.7}}]},
    }
)


def test_analyses_of_one_comparison(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("without", "distillation", ["study.lambda=0"]), ("with", "distillation", [])]
    settings, path = write(rows, "rounds.limit=1", table="reflection", head='paper = "gsm8k"\n')
    tables = compare(settings, path, tmp_path / "out", paper=PAPER)
    [first, second] = [
        dict(zip(tables[0].columns, line, strict=True)) for line in tables[0].rows
    ]  # one seed, so a line a row
    assert (first["method"].value, second["method"].value) == ("without", "with")
    assert first["pairs"].value == second["pairs"].value == 4
    assert first["distance"].interval is not None
    assert first["distance, over the row before"].value is None
    assert second["preference, over the row before"].interval is not None
    assert (first["the paper's gsm8k: distance"].value, second["the paper's gsm8k: distance"].value) == (51.0, None)
    assert tables[1].notes  # four pairs make no picture

    def no_student(*_: object, **__: object) -> Student:
        raise AssertionError("what was read once is kept")

    with monkeypatch.context() as kept:
        kept.setattr("tutelage.rounds.run.Run.student", no_student)
        assert compare(settings, path, tmp_path / "out", paper=PAPER) == tables

    results = tuple(read_result(tmp_path / "out" / "runs" / name / "seed-1", name, "", 1, how) for name, how, _ in rows)
    columns = (ColumnSettings(paper="svamp"),)
    compared = Compared(settings.model_copy(update={"columns": columns}), tmp_path / "out", results)
    [table] = ANALYSES["transfer"](compared, PAPER)
    assert [[cell.value for cell in line] for line in table.rows][:2] == [
        ["without", "", "1", "0", 0.0, 20.7],
        ["without", "", "1", "1", 0.0, None],
    ]
    assert table.rows[1][4].mark == "n.s."
    [table] = ANALYSES["cases"](replace(compared, results=results[:1]), None)
    assert [line[3].value for line in table.rows][2:] == [4, 0]  # test questions that were wrong before, and right
    assert "Picked by rule" in (results[0].folder / "cases.md").read_text()
    studies = read_json(results[0].folder / "cases.json")
    assert [study["title"] for study in studies] == [line[2].value for line in table.rows]
    assert len(studies[-2]["cases"]) == table.rows[-2][5].value


def test_a_judge_scores_round_by_round_and_is_asked_once(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = make_tokenizer(eos_token="<|endoftext|>", pad_token="<|pad|>")
    model = save_model(tmp_path / "judge", make_model(len(tokenizer), max_position_embeddings=2048), tokenizer)
    judge = f'[judge]\nkind = "local"\nmodel = "{model}"\ndevice = "cpu"\nendpoint = "completion"\n'
    settings, path = write([("plain", "untrained", [])], table="judge")
    path.write_text(f"{path.read_text()}\n{judge}")
    settings = read_comparison(path, list(ANALYSES))
    theirs = {"correct_mean": 4.53, "correct_std": 0.2, "wrong_mean": 1.07, "wrong_std": 0.18}
    paper = Paper({"table_6": {"rows": [{"task": "svamp", "rounds": [{"round": "initial", **theirs}]}]}})
    settings = settings.model_copy(update={"paper": "svamp"})
    [table] = compare(settings, path, tmp_path / "out", paper=paper)
    [line] = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert (line["right answers"].value, line["wrong answers"].value) == (0, 4)
    assert line["the paper's wrong: score"].value == 1.07

    def no_judge(*_: object) -> object:
        raise AssertionError("what was judged once is kept")

    monkeypatch.setattr("tutelage.rounds.judge.judge", no_judge)
    assert compare(settings, path, tmp_path / "out", paper=paper) == [table]


def test_the_same_answer_of_several_rows_is_judged_and_paid_once(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    _, path = write([("one", "untrained", []), ("star", "star", [])], "rounds.limit=1", table="judge")
    with OpenAIServer() as server:
        judge = f'[judge]\nkind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n'
        path.write_text(f"{path.read_text()}\n{judge}")
        [table] = compare(read_comparison(path, list(ANALYSES)), path, tmp_path / "out")
        # STaR finds nothing to study, so it has no answers but the untrained student's.
        assert [row[table.columns.index("wrong answers")].value for row in table.rows] == [4, 4]
        assert len(server.requests) == 4


def test_the_judges_caps_hold_for_all_rows_together_and_can_be_raised(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    # Asked with another number of demonstrations the same student answers otherwise.
    rows: list[tuple[str, str, list[str]]] = [(f"{n}", "untrained", [f"prompt.count={n}"]) for n in (0, 1)]
    _, path = write(rows, table="judge")
    plain = path.read_text()
    with OpenAIServer() as server:

        def capped(*caps: str) -> list[Table]:
            judge = f'[judge]\nkind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n'
            path.write_text("\n".join((plain, judge, *caps)))
            return compare(read_comparison(path, list(ANALYSES)), path, tmp_path / "out")

        with pytest.raises(BudgetError, match=r"judge\.budget\.money = 1, but the judge's prices are unknown"):
            capped("budget.money = 1")
        assert not (tmp_path / "out").exists()
        with pytest.raises(BudgetError, match=r"judge\.budget\.requests is 6, .* in the comparison's file"):
            capped("budget.requests = 6")
        assert len(server.requests) == 6  # four of the first row, and two of the second
        [table] = capped("budget.requests = 9", "concurrency = 2")
        assert len(server.requests) == 8
        assert table.notes[-1].startswith("The judge was asked 8 times in all")
        with pytest.raises(WorkspaceError, match=r"judge\.endpoint"):
            capped('endpoint = "completion"')


def test_a_first_student_that_was_deleted_leaves_its_line_out(tmp_path: Path) -> None:
    rounds = tuple(RoundResult(number, None, None, None, None, None, None, 0, None, None) for number in range(4))
    result = RunResult("a", "", 1, "distillation", tmp_path, 3, None, "", rounds, 0, 0, TeacherUse(), 1.0, ())
    for number in (0, 1, 3):
        (tmp_path / f"round-{number}" / "student").mkdir(parents=True)
    assert transfer.rounds_of(result) == [0, 1, 3]
    (tmp_path / "round-1" / "student").rmdir()  # as rounds.keep = "needed" does
    assert transfer.rounds_of(result) == [0, 3]


def test_rows_without_an_exam_or_a_lesson_have_cases_and_distances_too(write: Write, tmp_path: Path) -> None:
    rows: list[tuple[str, str, list[str]]] = [("answers", "answers", []), ("star", "star", [])]  # star finds nothing
    settings, path = write(rows, "rounds.limit=1", table="cases")
    [table] = compare(settings, path, tmp_path / "out")
    titles = ["Test, round 0 to 1: turned right", "Test, round 0 to 1: turned wrong"]
    assert [(row[0].value, row[2].value) for row in table.rows] == [("answers", title) for title in titles]
    results = tuple(read_result(tmp_path / "out" / "runs" / name / "seed-1", name, "", 1, how) for name, how, _ in rows)
    tables = ANALYSES["reflection"](Compared(settings, tmp_path / "out", results), None)
    assert [row[0].value for row in tables[0].rows] == ["answers", "star"]


def test_a_table_of_scores_needs_a_judge(write: Write, tmp_path: Path) -> None:
    settings, path = write([("plain", "untrained", [])], table="judge")
    with pytest.raises(RecipeError, match=r"\[judge\]"):
        compare(settings, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()  # before hours of runs
