"""Differences between rows, and when they are called none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import binomtest

from tests.comparisons.conftest import Write
from tutelage.comparisons.analyses import ANALYSES
from tutelage.comparisons.results import RoundResult, RunResult, TeacherUse
from tutelage.comparisons.settings import read_comparison
from tutelage.comparisons.tables.compared import Compared
from tutelage.comparisons.tables.effects import accuracy_cell, effect, effect_cells, mean_cell, p_text, round_cell
from tutelage.comparisons.tables.paper import Paper
from tutelage.comparisons.tables.table import Cell, Table
from tutelage.errors import RecipeError
from tutelage.evaluation.significance import mcnemar, paired_interval
from tutelage.records import Score

ALL_WRONG = {str(place): False for place in range(20)}
MANY_RIGHT = {str(place): place < 12 for place in range(20)}
FEW_RIGHT = {str(place): place < 5 for place in range(20)}


def test_one_seed_is_a_mcnemar_test() -> None:
    found = effect([ALL_WRONG], [MANY_RIGHT])
    assert found is not None
    assert found.p_value == mcnemar(ALL_WRONG, MANY_RIGHT).p_value == pytest.approx(2 * 0.5**12)
    [cell] = effect_cells([found])
    assert (cell.value, cell.mark, cell.note) == (60.0, "", "p < 0.001")
    assert cell.interval is not None
    assert cell.interval[0] > 0


def test_several_seeds_answers_to_a_question_are_one() -> None:
    found = effect([ALL_WRONG] * 3, [MANY_RIGHT, FEW_RIGHT, ALL_WRONG])
    assert found is not None
    assert found.p_value == pytest.approx(2 * 0.5**12)  # 12 questions that changed, all the same way
    assert found.difference == pytest.approx(17 / 60)
    [cell] = effect_cells([found])
    assert cell.mark == ""
    assert cell.note == "± 30.1, p < 0.001"
    low, high = found.interval
    assert cell.interval == (100 * low, 100 * high)
    of_one = 17 / 60 * (1 - 17 / 60)
    of_mean = (5 * (2 / 3) ** 2 + 7 * (1 / 3) ** 2) / 20 - (17 / 60) ** 2
    size = 20 * of_one / of_mean
    assert 20 < size < 60
    assert (low, high) == pytest.approx(paired_interval(0, size * 17 / 60, size))


def test_seeds_that_have_nothing_in_common_tell_as_much_as_as_many_questions() -> None:
    gains = [{str(place): place % 3 == seed for place in range(21)} for seed in range(3)]
    nothing = dict.fromkeys(gains[0], False)
    found = effect([nothing] * 3, gains)
    assert found is not None
    assert found.interval == pytest.approx(paired_interval(0, 21, 63))  # but no more than that
    assert found.p_value == pytest.approx(0.5**20)


def test_seeds_that_agree_have_one_seeds_interval() -> None:
    once, thrice = (effect([FEW_RIGHT] * seeds, [MANY_RIGHT] * seeds) for seeds in (1, 3))
    assert once is not None
    assert thrice is not None
    assert thrice.interval == pytest.approx(once.interval)
    fewer = effect([FEW_RIGHT, FEW_RIGHT], [MANY_RIGHT, {str(place): place < 6 for place in range(10)}])
    assert fewer is not None
    assert fewer.interval == pytest.approx(paired_interval(0, (7 / 20 + 1 / 10) / 2 * 10, 10))


def test_seeds_that_go_different_ways_decide_together() -> None:
    up, down = (ALL_WRONG, MANY_RIGHT), (FEW_RIGHT, ALL_WRONG)
    found = effect([up[0], down[0]], [up[1], down[1]])
    assert found is not None
    assert found.difference == pytest.approx(7 / 40)
    assert found.p_value == pytest.approx(2 * 0.5**7)  # on five questions one seed won what the other lost
    lost = {str(place): True for place in range(20)}
    undecided = effect([ALL_WRONG, lost], [lost, ALL_WRONG])
    assert undecided is not None
    assert (undecided.difference, undecided.p_value) == (0.0, 1.0)


def test_a_table_of_one_column_reads_by_rows_and_leaves_the_teacher_out(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {"Student": ALL_WRONG, "Large": MANY_RIGHT, "+ Distillation": MANY_RIGHT}
    monkeypatch.setattr(RunResult, "right", lambda one: right[one.row])
    rows: list[tuple[str, str, list[str]]]
    rows = [("Student", "untrained", []), ("Large", "teacher", []), ("+ Distillation", "distillation", [])]
    settings, _ = write(rows, table="students", head='columns = [{ name = "Small", paper = "770M" }]\n')
    found = tuple(replace(kept(0.3, 1), row=row, column="Small", method=method) for row, method, _ in rows)
    paper = Paper({"table_7": {"rows": [{"task": None, "method": "+ Distillation", "accuracy": {"770M": 13.3}}]}})
    [table] = ANALYSES["students"](Compared(settings, tmp_path, found), paper)
    assert table.columns == ("method", "Small", "Small, over the row before", "the paper's 770M")
    assert [[row[place].value for place in (0, 2, 3)] for row in table.rows] == [
        ["Student", None, None],
        ["Large", None, None],
        ["+ Distillation", 60.0, 13.3],
    ]


def test_the_share_of_the_gap_that_a_row_closes_stands_beside_the_papers(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {str(place): place < 16 for place in range(20)}
    right: dict[tuple[str, int], dict[str, bool] | None]
    right = {("Large", 1): large, ("Student", 1): ALL_WRONG, ("+ Rounds", 1): MANY_RIGHT}
    right |= {("Large", 2): large, ("Student", 2): ALL_WRONG, ("+ Rounds", 2): {**MANY_RIGHT, "11": False, "10": False}}
    monkeypatch.setattr(RunResult, "right", lambda one, _number=None: right.get((one.row, one.seed)))
    rows: list[tuple[str, str, list[str]]]
    rows = [("Large", "teacher", []), ("Student", "untrained", []), ("+ Rounds", "distillation", [])]
    theirs = {"Large": 80.0, "Student": 20.0, "+ Rounds": 50.0}
    paper = Paper({"table_1": {"rows": [{"method": name, "accuracy": {"svamp": one}} for name, one in theirs.items()]}})

    def table(chosen: list[tuple[str, str, list[str]]]) -> Table:
        settings, _ = write(chosen, head='paper = "svamp"\n')
        settings = settings.model_copy(update={"seeds": (1, 2)})
        found = [replace(kept(0.3, seed), row=row, method=method) for row, method, _ in chosen for seed in (1, 2)]
        [made] = ANALYSES["methods"](Compared(settings, tmp_path, tuple(found)), paper)
        return made

    made = table(rows)
    [ours, papers] = [made.columns.index(name) for name in made.columns if name.endswith("share of the gap closed")]
    assert [row[ours].value for row in made.rows] == [None, None, pytest.approx(100 * 11 / 16)]
    interval = made.rows[2][ours].interval
    assert interval is not None
    assert 40 < interval[0] < 100 * 11 / 16 < interval[1] < 100
    assert [row[papers].value for row in made.rows] == [None, None, 50.0]
    assert any("Fieller" in note for note in made.notes)
    for seed in (1, 2):  # of two teachers the first, here and in the paper's column
        right["Larger", seed] = {**large, "16": True, "17": True}
    theirs["Larger"] = 90.0
    paper = Paper({"table_1": {"rows": [{"method": name, "accuracy": {"svamp": one}} for name, one in theirs.items()]}})
    two = table([*rows, ("Larger", "teacher", [])])
    assert [two.rows[2][place].value for place in (ours, papers)] == [
        made.rows[2][place].value for place in (ours, papers)
    ]
    assert any("100 % for 'Large'" in note for note in two.notes)
    right["Large", 1] = right["Large", 2] = None  # a teacher that replays recordings has no answers of its own
    silent = table(rows)
    assert not any("gap" in text for text in (*silent.columns, *silent.notes))
    right["Large", 1] = right["Large", 2] = large
    right["Student", 2] = None  # a seed without answers
    assert [row[ours].value for row in table(rows).rows] == [None] * 3
    assert not any("gap" in name for name in table(rows[1:]).columns)


def test_a_row_may_name_the_row_that_it_is_compared_with(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {"Student": ALL_WRONG, "Whole": MANY_RIGHT, "Less": FEW_RIGHT, "Other": FEW_RIGHT}
    monkeypatch.setattr(RunResult, "right", lambda one, _number=None: right[one.row])
    rows: list[tuple[str, str, list[str]]]
    rows = [(name, "untrained" if name == "Student" else "cot", []) for name in right]
    settings, path = write(rows)
    path.write_text(path.read_text() + "\nover = 'Whole'\n")
    settings = read_comparison(path, list(ANALYSES))
    found = tuple(replace(kept(0.3, 1), row=row, method=method) for row, method, _ in rows)
    [table] = ANALYSES["methods"](Compared(settings, tmp_path, found), None)
    changes = [row[table.columns.index("over the row before")].value for row in table.rows]
    assert changes == [None, 60.0, -35.0, -35.0]
    assert any("'Other' is compared with 'Whole'" in note for note in table.notes)
    for other in ("Nobody", "Other"):
        path.write_text(path.read_text().replace("over = 'Whole'", f"over = {other!r}"))
        with pytest.raises(RecipeError, match="names no other row with a student"):
            read_comparison(path, list(ANALYSES))
        path.write_text(path.read_text().replace(f"over = {other!r}", "over = 'Whole'"))


def test_a_family_is_corrected_together() -> None:
    once = effect([ALL_WRONG], [{str(place): place < 6 for place in range(20)}])  # p = 0.03
    assert [cell.mark for cell in effect_cells([once])] == [""]
    assert [cell.mark for cell in effect_cells([once, None, once])] == ["n.s.", "", "n.s."]


def test_only_questions_that_both_were_asked_count() -> None:
    found = effect([{**ALL_WRONG, "more": True}], [MANY_RIGHT])
    assert found == effect([ALL_WRONG], [MANY_RIGHT])
    assert effect([{"other": True}], [MANY_RIGHT]) is None
    assert effect([None], [MANY_RIGHT]) is None


def kept(accuracy: float, seed: int) -> RunResult:
    score = Score(accuracy, round(20 * accuracy), 20, (accuracy / 2, accuracy * 1.5))
    first = RoundResult(1, score, None, None, None, None, None, 5, 0.5, None)
    return RunResult("a", "", seed, "cot", Path(), 1, score, "", (first,), 5, 5, TeacherUse(), 0.0, ())


def test_one_seed_has_an_interval_and_several_have_a_spread() -> None:
    one, two = kept(0.25, 1), kept(0.75, 2)
    assert accuracy_cell([one]) == Cell(25.0, (12.5, 37.5))
    both = accuracy_cell([one, two])
    assert (both.value, both.note) == (50.0, "± 35.4")
    ten_of_twenty = binomtest(10, 20).proportion_ci(method="wilson")
    assert both.interval == pytest.approx((100 * ten_of_twenty.low, 100 * ten_of_twenty.high))  # not 20 of 40
    assert accuracy_cell([one, two], 1) == both
    assert accuracy_cell([one, two], 2) == Cell()
    assert round_cell([one, two], 1, lambda found: found.lm_loss, 3) == Cell(0.5, digits=3)
    assert round_cell([one, two], 2, lambda found: found.lm_loss).value is None


def test_means_over_seeds() -> None:
    assert mean_cell([3, 3], 0).value == 3
    assert mean_cell([3, 4], 0).value == 3.5
    assert mean_cell([3, None]).value is None
    assert mean_cell([0.25, 0.75], scale=100).value == 50


def test_p_values_have_two_digits() -> None:
    assert [p_text(value) for value in (0.0004, 0.0123, 0.5, 1.0)] == ["p < 0.001", "p = 0.012", "p = 0.5", "p = 1"]


def test_all_rows_of_a_table_of_rounds_are_corrected_together(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = {str(place): place < 6 for place in range(20)}  # p = 0.03 against all wrong
    monkeypatch.setattr(RunResult, "right", lambda _self, number: better if number else ALL_WRONG)

    def marks(names: list[str]) -> list[str]:
        settings, _ = write([(name, "distillation", []) for name in names], table="rounds")
        run = kept(0.3, 1)
        rounds = (replace(run.rounds[0], number=0), run.rounds[0])
        found = tuple(replace(run, row=name, rounds=rounds) for name in names)
        [table] = ANALYSES["rounds"](Compared(settings, tmp_path, found), None)
        return [row[table.columns.index("over the round before")].mark for row in table.rows]

    assert marks(["a"]) == ["", ""]
    assert marks(["a", "b"]) == ["", "n.s.", "", "n.s."]
