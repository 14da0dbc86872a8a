"""Whole comparisons: what rows share is done once, and the same call goes on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.comparisons.conftest import Write
from tests.openai_server import OpenAIServer
from tutelage.comparisons.analyses import ANALYSES
from tutelage.comparisons.compare import compare
from tutelage.comparisons.results import read_result
from tutelage.comparisons.runs.grid import plan
from tutelage.comparisons.settings import ColumnSettings
from tutelage.comparisons.shared.taking import stage_seconds, taken_stages
from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Table
from tutelage.errors import DataError, RecipeError, WorkspaceError
from tutelage.rounds.learn import resume
from tutelage.rounds.study import study
from tutelage.workspace import read_json, write_json

LONG = ["exam.attempts=1", "exam.max_new_tokens=72", "evaluation.max_new_tokens=72"]
"""As long as the server's replies, which would be too long to be learned else."""


def taken(run: Path) -> set[str]:
    return {f"{one.stage} {one.round}" for one in taken_stages(run / "journal.jsonl")}


def test_what_a_row_shares_is_neither_done_nor_paid_again(write: Write, tmp_path: Path) -> None:
    with OpenAIServer() as server:
        teacher = ["teacher.kind=openai", "teacher.model=m", f"teacher.base_url={server.url}", "teacher.replies=2"]
        prices = ["teacher.price.input=1", "teacher.price.output=1"]
        rows = [
            ("multi", "distillation", ["teacher.feedback=true"]),
            ("alone", "distillation", ["teacher.feedback=false"]),
            ("one", "distillation", ["rounds.limit=1"]),
            ("heavy", "distillation", ["rounds.limit=1", "study.lambda=0.9"]),
            ("cot", "cot", ["teacher.replies=1"]),
        ]
        settings, path = write(rows, *teacher, *prices, *LONG, "rounds.patience=9", head='paper = "svamp"\n')
        compare(settings, path, tmp_path / "out")
        runs = {name: tmp_path / "out" / "runs" / name / "seed-1" for name, _, _ in rows}
        second = read_result(runs["multi"], "multi", "", 1, "distillation").round(2)
        assert second is not None
        asked = len(server.requests)
        assert asked == 4 + 2 * (second.requests or 0)  # round 1 once, round 2 with mistakes and without
        compare(settings, path, tmp_path / "out")
        assert len(server.requests) == asked
    first = {"evaluation 0", "exam 1", "mistakes 1", "feedback 1", "lesson 1", "study 1", "evaluation 1"}
    assert taken(runs["multi"]) == set()
    assert taken(runs["alone"]) == {*first, "exam 2", "mistakes 2"}
    assert taken(runs["one"]) == first
    assert taken(runs["heavy"]) == first - {"study 1", "evaluation 1"}
    assert taken(runs["cot"]) == {"evaluation 0"}  # one reply a question is another request, known from the cache
    for name in ("exam.jsonl", "feedback.jsonl", "student/model.safetensors"):
        linked, source = (runs[run] / "round-1" / name for run in ("one", "multi"))
        assert linked.stat().st_ino == source.stat().st_ino
    results = {one["row"]: one for one in read_json(tmp_path / "out" / "results.json")}
    # A row's books are what it would have paid alone: the server counts 20 tokens a request, and 10 a reply.
    assert results["one"]["teacher"]["tokens"] == 4 * (20 + 2 * 10)
    assert results["one"]["teacher"]["cost"] == "0.00016"
    assert results["cot"]["teacher"]["from_cache"] == results["cot"]["teacher"]["replies"] == 4
    assert results["alone"]["teacher"]["requests"] == results["multi"]["teacher"]["requests"]
    assert results["one"]["seconds"] > 0
    assert results["one"]["cost"]["whole"]["teacher"]["money"] == "0.00016"
    assert results["cot"]["cost"]["whole"]["teacher"]["from_cache"] == 4
    assert "| one | " in (tmp_path / "out" / "cost.md").read_text()
    [costs] = read_json(tmp_path / "out" / "cost.json")
    assert [row[0]["value"] for row in costs["rows"]] == [name for name, _, _ in rows]
    check_tables(
        Compared(settings, tmp_path / "out", tuple(read_result(runs[name], name, "", 1, how) for name, how, _ in rows))
    )


def check_tables(compared: Compared) -> None:
    """The other analyses of the same runs, beside the paper's numbers."""
    paper = Paper(
        {
            "table_1": {"rows": [{"method": "One-Round", "accuracy": {"svamp": 47.7}}]},
            "table_3": {
                "rows": [{"task": "svamp", "feedback": False, "requests": 168, "success": 140, "accuracy": 48.3}]
            },
            "table_5": {"rows": [{"task": "svamp", "training_samples": [None, 2000], "accuracy_change": [27.0]}]},
            "table_7": {"rows": [{"task": "svamp", "method": "One-Round", "accuracy": {"770M": 13.3}}]},
            "figure_5": {"lambda": [0.5, 0.9], "accuracy": {"svamp": [82.2, 77.2]}},
        }
    )
    sizes = compared.settings.model_copy(update={"columns": (ColumnSettings(paper="770M"),)})
    tables = {name: ANALYSES[name](compared, paper)[0] for name in ("methods", "feedback", "rounds", "lambda")}
    tables["students"] = ANALYSES["students"](replace(compared, settings=sizes), paper)[0]
    values = {
        name: [dict(zip(table.columns, [cell.value for cell in row], strict=True)) for row in table.rows]
        for name, table in tables.items()
    }
    paid = tables["methods"].rows[4][tables["methods"].columns.index("teacher's price")]
    assert paid.note == "without 4 cached replies"  # the row's own price is not 0
    multi, alone, one, *_ = values["feedback"]
    assert multi["requests"] == alone["requests"]
    assert (alone["accuracy, change"], one["requests"]) == (0.0, None)
    assert (alone["the paper's svamp: success"], multi["the paper's svamp: success"]) == (140, None)
    assert any("CAUTION" in note for note in tables["feedback"].notes)  # "heavy" and "cot" learned otherwise
    first, second, third, *_ = values["rounds"]
    assert [line["round"] for line in (first, second, third)] == ["initial", "1st", "2nd"]
    assert [line["training samples"] for line in (first, second)] == [None, 8]
    assert (first["exam's error rate after it"], third["exam's error rate after it"]) == (100.0, None)
    assert [line["the paper's change in accuracy"] for line in (first, second, third)] == [None, 27.0, None]
    assert [line["the paper's svamp"] for line in values["lambda"]] == [82.2, 82.2, 82.2, 77.2, None]
    assert values["lambda"][3]["final triplet loss"] is not None
    assert values["students"][2]["the paper's 770M"] == 13.3
    assert values["methods"][2]["the paper's svamp"] == 47.7
    assert values["methods"][0]["round kept"] == "0 of 2"


def test_a_comparison_goes_on_where_it_was_stopped(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("one", "distillation", ["study.lambda=0"]), ("two", "distillation", [])]
    settings, path = write(rows, "rounds.limit=1", table="lambda")
    studies: list[str] = []

    def stops(run, number, *more, **named):  # type: ignore[no-untyped-def]
        studies.append(run.workspace.folder.parent.name)
        if studies == ["one", "two"]:
            raise KeyboardInterrupt
        study(run, number, *more, **named)

    monkeypatch.setattr(sys.modules["tutelage.rounds.learn"], "study", stops)  # the package has a function of that name
    with pytest.raises(KeyboardInterrupt):
        compare(settings, path, tmp_path / "out")
    tables = compare(settings, path, tmp_path / "out")
    assert studies == ["one", "two", "two"]
    assert [row[0].value for row in tables[0].rows] == [0.0, 0.5]
    taken_steps = read_result(tmp_path / "out" / "runs" / "one" / "seed-1", "one", "", 1, "distillation").steps
    assert len(tables[1].rows) == 2 * taken_steps > 2
    assert (tmp_path / "out" / "curves.csv").read_text().count("\n") == 1 + len(tables[1].rows)

    other = settings.model_copy(update={"title": "Another", "table": "curves"})  # what is shown may change
    [course, _] = compare(other, path, tmp_path / "out")
    assert (course.title, len(course.rows), len(studies)) == ("Another", 4, 3)
    changed = settings.model_copy(update={"fair": "steps"})
    with pytest.raises(WorkspaceError, match="holds another comparison: fair, reference were different"):
        compare(changed, path, tmp_path / "out")
    recipe = settings.recipe.read_text()
    settings.recipe.write_text(recipe.replace("attempts = 2", "attempts = 3"))
    with pytest.raises(WorkspaceError, match=r"recipe\.exam\.attempts"):
        compare(settings, path, tmp_path / "out")


def test_rows_and_seeds_can_be_added_and_left_out_but_not_changed(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def names(tables: Sequence[Table]) -> list[object]:
        return [row[0].value for row in tables[0].rows]

    def comparison(*rows: tuple[str, str, list[str]], seeds: tuple[int, ...] = (1,)) -> list[Table]:
        settings, path = write(list(rows))
        return compare(settings.model_copy(update={"seeds": seeds}), path, out)

    plain: tuple[str, str, list[str]] = ("plain", "untrained", [])
    bare = ("bare", "untrained", ["prompt.count=0"])
    assert names(comparison(plain)) == ["plain"]
    journal = (out / "runs" / "plain" / "seed-1" / "journal.jsonl").read_bytes()
    assert names(comparison(bare, plain, seeds=(1, 2))) == ["bare", "plain"]
    assert (out / "runs" / "plain" / "seed-1" / "journal.jsonl").read_bytes() == journal
    assert sorted(path.parent.name + path.name for path in out.glob("runs/*/*")) == [
        *("bareseed-1", "bareseed-2", "plainseed-1", "plainseed-2")
    ]
    assert names(comparison(plain)) == ["plain"]
    # Its runs are there yet, and another row of that name would pass for them.
    with pytest.raises(WorkspaceError, match=r"rows\.bare\.overrides was different"):
        comparison(plain, ("bare", "untrained", ["prompt.count=1"]))
    begun = read_json(out / "comparison.json")
    del begun["recipe"]["rounds"]["start"]  # as a version wrote it that had no such key
    write_json(out / "comparison.json", begun)
    assert names(comparison(bare, plain)) == ["bare", "plain"]


def test_a_row_of_another_name_with_the_same_folder_does_not_pass_for_the_one_before(
    write: Write, tmp_path: Path
) -> None:
    """The runs of "plain A" lie where those of "plain-a" would."""
    settings, path = write([("plain A", "untrained", [])])
    compare(settings, path, tmp_path / "out")
    begun = read_json(tmp_path / "out" / "comparison.json")
    begun["rows"] = {"plain A": begun["rows"].pop("plain-a")}  # as older versions wrote it
    write_json(tmp_path / "out" / "comparison.json", begun)
    other, path = write([("plain-a", "untrained", ["evaluation.max_new_tokens=8"])])
    with pytest.raises(WorkspaceError, match=r"rows\.plain-a\.overrides was different"):
        compare(other, path, tmp_path / "out")
    same, path = write([("Plain, a", "untrained", [])])
    [table] = compare(same, path, tmp_path / "out")
    assert table.rows[0][0].value == "Plain, a"


def test_what_its_method_does_in_a_way_of_its_own_is_not_resumed_as_lessons(write: Write, tmp_path: Path) -> None:
    """The comparison would take what came of it for the method's."""
    settings, path = write([("plain", "untrained", []), ("ours", "distillation", ["rounds.limit=1"])])
    compare(settings, path, tmp_path / "out")
    with pytest.raises(WorkspaceError, match=r"by the method 'untrained'.* `tutelage compare` goes on with it"):
        resume(tmp_path / "out" / "runs" / "plain" / "seed-1")
    assert not (tmp_path / "out" / "runs" / "plain" / "seed-1" / "round-1").exists()
    resume(tmp_path / "out" / "runs" / "ours" / "seed-1").workspace.release()


def test_a_row_that_contradicts_its_method_is_refused_before_anything_runs(write: Write, tmp_path: Path) -> None:
    settings, path = write([("a", "distillation", []), ("b", "cot", ["study.lambda=0.5"])])
    with pytest.raises(RecipeError, match=r"'b' sets study\.lambda=0\.5, which the method 'cot'"):
        compare(settings, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("b", "adapter", []), r"lora\.r=16"),
        (("b", "star", ["lora.r=2", "lora.next_round=merged"]), "no adapter to merge"),
    ],
)
def test_a_row_that_its_method_cannot_do_is_refused_before_anything_runs(
    write: Write, tmp_path: Path, row: tuple[str, str, list[str]], words: str
) -> None:
    settings, path = write([("a", "distillation", []), row])
    with pytest.raises(RecipeError, match=words):
        compare(settings, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_first_teacher_without_its_files_is_refused_before_anything_runs(write: Write, tmp_path: Path) -> None:
    first = ["first_teacher.kind=recorded", "first_teacher.files=['none.jsonl']"]
    settings, path = write([("a", "untrained", []), ("b", "distillation", first)])
    with pytest.raises(DataError, match=r"No file fits first_teacher\.files = 'none\.jsonl'"):
        compare(settings, path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("left", ["{}", "[]", '{"rows": [], "columns": [], "recipe": {}}'])
def test_a_damaged_comparison_is_one_clear_error(write: Write, tmp_path: Path, left: str) -> None:
    settings, path = write([("a", "untrained", [])])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "comparison.json").write_text(left)
    with pytest.raises(WorkspaceError, match="damaged, or an earlier version wrote it"):
        compare(settings, path, tmp_path / "out")
    assert (tmp_path / "out" / "comparison.json").read_text() == left


def test_a_folder_that_holds_something_else_is_left_alone(write: Write, tmp_path: Path) -> None:
    settings, path = write([("a", "untrained", [])])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(WorkspaceError, match="in use already"):
        compare(settings, path, tmp_path / "out")


def test_rows_of_several_seeds_and_columns_have_folders_of_their_own(write: Write, tmp_path: Path) -> None:
    columns = 'columns = [{ name = "Small, wide" }, { name = "Tall", overrides = ["prompt.count=1"] }]\n'
    settings, _ = write([("+ Self-Reflection", "untrained", [])], head=columns, table="students")
    settings = settings.model_copy(update={"seeds": (1, 7)})
    folders = [str(job.folder.relative_to(tmp_path)) for job in plan(settings, tmp_path)]
    assert folders == [
        "runs/self-reflection/small-wide/seed-1",
        "runs/self-reflection/small-wide/seed-7",
        "runs/self-reflection/tall/seed-1",
        "runs/self-reflection/tall/seed-7",
    ]


def test_the_tables_are_written_in_three_forms(write: Write, tmp_path: Path) -> None:
    settings, path = write([("plain", "untrained", []), ("again", "untrained", [])])
    compare(settings, path, tmp_path / "out")
    assert "| plain | 0.0 (0.0 to 49.0) |" in (tmp_path / "out" / "table.md").read_text()
    assert (tmp_path / "out" / "table.csv").read_text().startswith('method,accuracy,"accuracy, low","accuracy, high"')
    [table] = json.loads((tmp_path / "out" / "table.json").read_text())
    assert table["rows"][1][0]["value"] == "again"
    [first, _] = read_json(tmp_path / "out" / "results.json")
    assert first["seed"] == 1
    origin = first["provenance"]
    assert origin["environment"]["packages"]["torch"]
    assert origin["seed"] == 1
    assert len(origin["sha256"]["questions.jsonl"]) == 64
    assert origin["recipe"].startswith("seed = 1")
    assert len(first["split"]["test"]) == 64
    assert (tmp_path / "out" / "comparison.toml").read_text() == path.read_text()


def test_a_run_that_ends_sooner_takes_no_later_round_over(write: Write, tmp_path: Path) -> None:
    rows = [("long", "distillation", ["rounds.patience=9"]), ("short", "distillation", ["rounds.patience=1"])]
    settings, path = write(rows)
    compare(settings, path, tmp_path / "out")
    long, short = (tmp_path / "out" / "runs" / name / "seed-1" for name in ("long", "short"))
    found = read_result(short, "short", "", 1, "distillation")
    assert read_json(short / "outcome.json")["last_round"] == found.rounds[-1].number == 1
    assert 2 * found.steps == read_result(long, "long", "", 1, "distillation").steps
    assert found.teacher.requests == 4
    assert taken(short) == {"evaluation 0", "exam 1", "mistakes 1", "feedback 1", "lesson 1", "study 1", "evaluation 1"}


def test_half_a_line_that_a_kill_left_in_a_journal_tells_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text('{"event": "end", "round": 1, "stage": "exam", "seconds": 2.5}\n{"event": "end", "rou')
    assert stage_seconds(journal) == {(1, "exam"): 2.5}


def test_a_student_that_another_row_let_go_of_is_trained_again(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("long", "distillation", []), ("short", "distillation", ["rounds.limit=1"])]
    settings, path = write(rows, "rounds.patience=9", "rounds.keep=needed")
    studied: list[str] = []

    def counted(run, number, *more, **named):  # type: ignore[no-untyped-def]
        studied.append(f"{run.workspace.folder.parent.name} {number}")
        study(run, number, *more, **named)

    monkeypatch.setattr(sys.modules["tutelage.rounds.learn"], "study", counted)
    compare(settings, path, tmp_path / "out")
    long, short = (tmp_path / "out" / "runs" / name / "seed-1" for name in ("long", "short"))
    assert not (long / "round-1" / "student").exists()
    assert (short / "round-1" / "student").is_dir()
    before = {"evaluation 0", "exam 1", "mistakes 1", "feedback 1", "lesson 1"}
    assert taken(short) == {*before, "evaluation 1"}  # the training came out the same, to the last digit
    assert (short / "round-1" / "training.jsonl").read_bytes() == (long / "round-1" / "training.jsonl").read_bytes()

    log = long / "round-1" / "training.jsonl"
    log.write_text(log.read_text().replace('"gradient_norm": ', '"gradient_norm": 1'))  # as on a GPU it may
    shutil.rmtree(short)
    compare(settings, path, tmp_path / "out")
    assert taken(short) == before
    assert read_json(short / "round-1" / "evaluation.json")["total"] == 4
    assert studied.count("short 1") == 2
